"""The fused backend: Triton kernels, forward and backward, for mixed operations."""
