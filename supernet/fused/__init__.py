"""The fused backend: kernels, forward and backward, for mixed operations: Triton's on a GPU, C++ functions on a CPU."""
