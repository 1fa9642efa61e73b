"""Searches in one's own spaces in which each architecture is trained by itself."""
