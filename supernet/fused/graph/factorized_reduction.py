"""Skip connections of stride 2: the factorized reduction, two 1x1 convolutions on every other pixel, before BatchNorm.

It works on a quarter of the pixels, for the two inputs of a reduction cell. One product of matrices computes it for all
edges that leave a state.

Axes: ``e`` edge, ``m`` pixel of the batch, ``k`` input and ``c`` output channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.ops import shifted


def factorized_forward(x: Tensor, params: Sequence[Tensor]) -> Tensor:
    """Return all edges' outputs before BatchNorm, ``(e, m, c)``.

    Args:
        x: the state, ``(b, h, w, k)``.
        params: the weights of both convolutions, stacked over the edges.
    """
    return torch.matmul(_phases(x), _blocks(params).to(x.dtype))


def factorized_backward(
    x: Tensor, params: Sequence[Tensor], dy: Tensor, need_params: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return the gradient of the state, ``(b, h, w, k)``, and those of the weights.

    Args:
        x, params: as in ``factorized_forward``.
        dy: gradient of its result, ``(e, m, c)``; rounded to the type of ``x``, as the product's other factor is.
        need_params: whether the weights' gradients are computed; without, the list is empty.
    """
    b, h, w, k = x.shape
    dy, p = dy.to(x.dtype), _blocks(params).to(x.dtype)
    grads = []
    if need_params:
        dp = torch.matmul(_phases(x).t(), dy)
        half = params[0].shape[1]
        for part, weight in ((dp[:, :k, :half], params[0]), (dp[:, k:, half:], params[1])):
            grads.append(part.transpose(1, 2)[..., None, None].to(weight.dtype).contiguous())
    d = torch.einsum("emc,ekc->mk", dy, p).view(b, -(-h // 2), -(-w // 2), 2 * k)
    back = torch.zeros_like(x)
    back[:, ::2, ::2] += d[..., :k]
    back[:, 1::2, 1::2] += d[:, : h // 2, : w // 2, k:]
    return torch.where(x > 0, back, 0), grads


def _phases(x: Tensor) -> Tensor:
    """Return the inputs of both convolutions of a factorized reduction, ``(m, 2 k)``."""
    x = F.relu(x).permute(0, 3, 1, 2)
    both = torch.cat([phase[:, :, ::2, ::2] for phase in (x, shifted(x))], 1)
    return both.permute(0, 2, 3, 1).flatten(0, 2)


def _blocks(params: Sequence[Tensor]) -> Tensor:
    """Return both convolutions of a factorized reduction as block-diagonal matrices, ``(e, 2 k, c)``."""
    first, second = (w.flatten(2).transpose(1, 2) for w in params)
    return torch.cat([F.pad(first, (0, second.shape[2])), F.pad(second, (first.shape[2], 0))], 1)
