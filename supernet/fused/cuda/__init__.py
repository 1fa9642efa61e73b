"""CUDA kernels for convolutions of 16-bit numbers, compiled by NVRTC."""
