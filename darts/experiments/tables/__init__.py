"""Published tables, and exact figures of the benchmarks."""
