"""Whether the fused kernels can run on a device: Triton's and CUDA's on a GPU, C++ functions on a CPU."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch
from torch import nn

from supernet.fused.cpu import library
from supernet.fused.handling import current_handler
from supernet.ops import Fusable


def by_triton(device: torch.device) -> bool:
    """Return whether Triton's kernels serve a device: a GPU; a CPU where Triton interprets or launches are handled."""
    return device.type != "cpu" or current_handler() is not None or os.environ.get("TRITON_INTERPRET") == "1"


def unavailable(device: torch.device) -> str | None:
    """Return why a device has no fused kernels; ``None`` where it has. On a CPU this compiles them if need be."""
    if not by_triton(device):
        return library.reason()
    return None if find_spec("triton") is not None else "the package triton is not installed"


def fuse_layers(network: nn.Module, device: torch.device) -> None:
    """Make the layers of a network use fused kernels: ``supernet.fused.layers`` on a GPU, ``supernet.fused.cpu.layers``
    on a CPU; those inside mixed graphs are left to the graphs."""
    from supernet.mixed.source import MixedSource

    if by_triton(device):
        from supernet.fused.layers.fused import fused
    else:
        from supernet.fused.cpu.layers import fused

    def fuse(module: nn.Module) -> None:
        if isinstance(module, Fusable):
            module.kernels = fused
        for child in module.children():
            if not isinstance(child, MixedSource):
                fuse(child)

    fuse(network)
