"""Benchmarks of search, evaluation and retraining steps."""
