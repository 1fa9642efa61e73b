"""How fast the mixed operations are."""
