"""Genotypes as text: JSON and the DARTS family's notation, parsed and never evaluated."""
