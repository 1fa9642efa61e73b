"""Partial channels beside the kernels: what passes by the candidates (PC-DARTS, Xu et al. 2020, section 3.1).

Candidates see the first ``c / k`` channels of a state; the others, weighed edge by edge, go straight to the node, where
all channels are shuffled. At stride 2 they are max-pooled on the way. A few copies of whole states, by the library.

Images are ``(b, h, w, c)``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def seen(x: Tensor, width: int) -> Tensor:
    """What candidates see of a state: its first ``width`` channels, contiguous."""
    return x if x.shape[-1] == width else x[..., :width].contiguous()


def passing(x: Tensor, width: int, stride: int) -> Tensor:
    """What passes by, ``(b, h, w, c - width)``; at stride 2 of half the size."""
    rest = x[..., width:]
    return rest if stride == 1 else _pooled(rest)[0].permute(0, 2, 3, 1)


def passing_backward(x: Tensor, grad: Tensor, width: int, stride: int) -> Tensor:
    """The gradient of a state's other channels from that of what passed by."""
    if stride == 1:
        return grad
    rest = x[..., width:].permute(0, 3, 1, 2)
    _, places = _pooled(x[..., width:])
    window = (2, 2), (2, 2), (0, 0), (1, 1), True
    back = torch.ops.aten.max_pool2d_with_indices_backward(grad.permute(0, 3, 1, 2), rest, *window, places)
    return back.permute(0, 2, 3, 1)


def _pooled(rest: Tensor) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(rest.permute(0, 3, 1, 2), 2, 2, ceil_mode=True, return_indices=True)


def joined(mixed: Tensor, passed: Tensor) -> Tensor:
    """A node, ``(b, h, w, c)``: both sums with their channels shuffled, first one of each part, then the next."""
    both = torch.cat([mixed, passed.to(mixed.dtype)], -1)
    return both.unflatten(-1, (-1, mixed.shape[-1])).transpose(-1, -2).flatten(-2)


def parted(grad: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The gradients of both sums from a node's."""
    parts = grad.unflatten(-1, (width, -1)).transpose(-1, -2).flatten(-2)
    return parts[..., :width], parts[..., width:]
