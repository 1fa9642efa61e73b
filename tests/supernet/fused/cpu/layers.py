"""What the tests of layers have in common."""

import torch
from torch import nn


def differentiated(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, gradients of the input and of all parameters for a fixed loss, and buffers afterwards."""
    x = x.clone().requires_grad_()
    y = layer(x)
    loss = (y * torch.cos(torch.arange(y.numel()).to(y.dtype)).view(y.shape)).sum()
    return [y, *torch.autograd.grad(loss, [x, *layer.parameters()]), *layer.buffers()]


def assert_equal(found, expected, tolerance=1e-9):
    for a, b in zip(found, expected, strict=True):
        error = (a - b).abs().max().item()
        assert error <= tolerance * max(b.abs().max().item(), 1), (a.shape, error)
