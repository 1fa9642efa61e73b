"""Two models with choices as search spaces: examples for a model of your own."""
