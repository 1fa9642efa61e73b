"""The fused mixed graph on a CPU: C++ functions, compiled once on the machine that runs them."""
