"""A whole mixed graph by the fused kernels: its plan, its forward and backward passes, and the operator."""
