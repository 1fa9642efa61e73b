"""Several objectives: fronts, the Pareto set of a finished search, and searches replayed on a benchmark."""
