"""How fast a search step is."""
