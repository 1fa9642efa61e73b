"""Searching and training in a network of your own, from your own script: ``darts.search`` and ``darts.retrain``."""
