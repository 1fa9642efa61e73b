"""Layers as one operator each, by kernels of Triton: separable convolutions, and those of 1x1 before BatchNorm."""
