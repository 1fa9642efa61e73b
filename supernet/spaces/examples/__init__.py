"""Two models with choices, as examples."""
