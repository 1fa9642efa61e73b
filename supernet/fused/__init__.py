"""The fused backend: kernels, forward and backward, for mixed operations, on a GPU and on a CPU."""
