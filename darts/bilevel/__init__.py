"""The mathematics of differentiable search: problem, relaxation, hypergradient, discretization. Knows no method."""
