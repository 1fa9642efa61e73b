"""Partial channels beside the kernels: the channels that bypass the candidates (PC-DARTS, Xu et al. 2020, section 3.1).

Candidates see the first ``c / k`` channels of a state, the *active* ones; the others, weighted edge by edge, go
straight to the node, where all channels are shuffled. At stride 2 they are max-pooled on the way. These are a few
copies of whole states, made by the library.

Images are ``(b, h, w, c)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.fused.graph.plan import Plan, Source


def active_channels(x: Tensor, width: int) -> Tensor:
    """Return the first ``width`` channels of a state, contiguous."""
    return x if x.shape[-1] == width else x[..., :width].contiguous()


def sum_of_gradients(
    plan: Plan, source: Source, x: Tensor, full: Sequence[Tensor], grads: Tensor | Mapping[int, Tensor]
) -> Tensor:
    """Return what the gradients of a source's state ``x`` are added to: where channels are partial, zeros.

    Args:
        full: sums of the states with all their channels, the inputs first.
        grads: sums of the nodes.
    """
    if plan.partial > 1:
        return torch.zeros_like(x)
    node = source.state - plan.inputs
    return full[source.state] if node < 0 else grads[node].view_as(x)


def bypass(x: Tensor, width: int, stride: int) -> Tensor:
    """Return the other channels, ``(b, h, w, c - width)``; at stride 2 max-pooled to half the size."""
    rest = x[..., width:]
    return rest if stride == 1 else _pooled(rest)[0].permute(0, 2, 3, 1)


def bypass_backward(x: Tensor, grad: Tensor, width: int, stride: int) -> Tensor:
    """Return the gradient of a state's other channels from that of ``bypass``."""
    if stride == 1:
        return grad
    rest = x[..., width:].permute(0, 3, 1, 2)
    _, places = _pooled(x[..., width:])
    window = (2, 2), (2, 2), (0, 0), (1, 1), True
    back = torch.ops.aten.max_pool2d_with_indices_backward(grad.permute(0, 3, 1, 2), rest, *window, places)
    return back.permute(0, 2, 3, 1)


def _pooled(rest: Tensor) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(rest.permute(0, 3, 1, 2), 2, 2, ceil_mode=True, return_indices=True)


def merge_channels(mixed: Tensor, bypassed: Tensor) -> Tensor:
    """Return a node, ``(b, h, w, c)``: both sums, with their channels shuffled so that the parts alternate."""
    both = torch.cat([mixed, bypassed.to(mixed.dtype)], -1)
    return both.unflatten(-1, (-1, mixed.shape[-1])).transpose(-1, -2).flatten(-2)


def split_channels(grad: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of both sums from a node's: the inverse of ``merge_channels``."""
    parts = grad.unflatten(-1, (width, -1)).transpose(-1, -2).flatten(-2)
    return parts[..., :width], parts[..., width:]
