"""Benchmarks of the mixed operations."""
