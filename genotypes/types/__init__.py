"""The kinds of genotypes."""
