"""Operations that the library's own kernels compute, before BatchNorm: full convolutions, and factorized reductions.

A full convolution is best left to cuDNN; factorized reductions stand in a file of their own. Each is one call for all
edges that leave a state. They write planes as the fused kernels do, so that gates, BatchNorm and sums are computed in
the nodes.

Axes: ``e`` edge, ``m`` pixel of the batch, ``k`` input and ``c`` output channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.fused.graph.description import FACTORIZED
from supernet.fused.graph.factorized_reduction import factorized_backward, factorized_forward
from supernet.fused.graph.plan import Op


def library_forward(op: Op, x: Tensor, params: Sequence[Tensor]) -> Tensor:
    """Return all edges' outputs before BatchNorm, ``(e, m, c)``.

    Args:
        x: the state, ``(b, h, w, k)``.
        params: parameters of the operation, stacked over its edges.
    """
    if op.kind == FACTORIZED:
        return factorized_forward(x, params)
    weight, bias = _flat(params, x.dtype)
    y = F.conv2d(_relu_image(x), weight, bias, padding=op.side // 2)
    return y.permute(0, 2, 3, 1).reshape(-1, len(params[0]), x.shape[3]).transpose(0, 1)


def library_backward(
    op: Op, x: Tensor, params: Sequence[Tensor], dy: Tensor, need_params: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return the gradient of the state, ``(b, h, w, k)``, and the gradients of the parameters.

    Args:
        op, x, params: as in ``library_forward``.
        dy: gradient of its result, ``(e, m, c)``.
        need_params: whether the parameters' gradients are computed; without, the list is empty.
    """
    if op.kind == FACTORIZED:
        return factorized_backward(x, params, dy, need_params)
    b, h, w, _ = x.shape
    grad = dy.transpose(0, 1).reshape(b, h, w, -1).permute(0, 3, 1, 2).to(x.dtype)
    weight, bias = _flat(params, x.dtype)
    padding = [op.side // 2] * 2
    wanted = [True, need_params, need_params]
    found = torch.ops.aten.convolution_backward(
        grad, _relu_image(x), weight, bias.shape, [1, 1], padding, [1, 1], False, [0, 0], 1, wanted
    )
    back = torch.where(x > 0, found[0].permute(0, 2, 3, 1), 0)
    return back, [g.view_as(p).to(p.dtype).contiguous() for g, p in zip(found[1:], params)] if need_params else []


def _relu_image(x: Tensor) -> Tensor:
    return F.relu(x).permute(0, 3, 1, 2)


def _flat(params: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return weight ``(e c, k, side, side)`` and bias ``(e c,)`` of one convolution for all edges."""
    weight, bias = params
    return weight.flatten(0, 1).to(dtype, memory_format=torch.channels_last), bias.flatten().to(dtype)
