"""The DARTS space and its reduced forms."""
