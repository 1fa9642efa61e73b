"""ReLU, 1x1 convolution and BatchNorm as one layer: what brings the inputs of every cell to its width and size.

Two launches compute it, two its gradient with that of the weights, or three where it is wide or in float32. The first
computes the plane before BatchNorm with its statistics, and moves the running ones; the second normalizes. BatchNorm's
backward is formed where the plane's gradient is read. Kept for the backward pass are the input, the plane and its
statistics; ReLU's output is not stored, and the weights are rounded to the storage type where they are read.

Each of both launches is an operator of ``torch.library``: one that changes its arguments cannot have a gradient there.
So that of the whole layer is the second's. Differentiable once.

Axes: ``b`` batch, ``h w`` space, ``k`` input and ``c`` output channel, ``m`` pixel of the output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from supernet.fused.launch import sum_type
from supernet.fused.layers.pointwise_backward import coefficients_of, gradients
from supernet.fused.layers.pointwise_forward import product, scaled
from supernet.fused.layers.shape import Shape
from supernet.ops import BatchNorm


def pointwise(image: Tensor, weights: list[Tensor], norm: BatchNorm) -> Tensor:
    """Return BatchNorm of 1x1 convolutions of ReLU of an image; in training its running statistics are moved.

    Args:
        image: ``(b, h, w, k)``, contiguous.
        weights: of one convolution of stride 1, or of the two of a factorized reduction, ``(n, k, 1, 1)`` each.

    Returns:
        ``(b, h, w, c)`` of the output.
    """
    with torch.no_grad():
        plane = pointwise_plane(image, weights, norm.running_mean, norm.running_var, norm.training)
    return pointwise_layer(image, weights, norm.weight, norm.bias, *plane, norm.training)


def plane_forward(
    x: Tensor, weights: list[Tensor], running_mean: Tensor, running_var: Tensor, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the plane before BatchNorm and its statistics.

    Args:
        x, weights: as of ``pointwise``.
        running_mean, running_var: of BatchNorm, ``(c,)``; moved in training.
        training: whether BatchNorm uses the batch's statistics.

    Returns:
        The plane, ``(m, c)``; mean and 1 / std, ``(c,)``.
    """
    plane, mean, rstd = _empty(x, weights)
    product(x, tuple(weights), plane, (mean, rstd), (running_mean, running_var), training)
    return plane, mean, rstd


pointwise_plane = torch.library.custom_op(
    "supernet::pointwise_plane", plane_forward, mutates_args=("running_mean", "running_var")
)


@pointwise_plane.register_fake
def _(x, weights, running_mean, running_var, training):
    return _empty(x, weights)


def _empty(x: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return uninitialized plane, mean and 1 / std."""
    shape = Shape.of(x, weights)
    mean, rstd = (x.new_empty(shape.channels, dtype=sum_type(x.dtype)) for _ in range(2))
    return x.new_empty(shape.pixels, shape.channels), mean, rstd


def layer_forward(
    x: Tensor,
    weights: list[Tensor],
    scale: Tensor | None,
    shift: Tensor | None,
    plane: Tensor,
    mean: Tensor,
    rstd: Tensor,
    training: bool,
) -> Tensor:
    """Return the result, ``(b, h, w, c)``.

    Args:
        scale, shift: of BatchNorm, ``(c,)``.
        plane, mean, rstd: as ``plane_forward`` returned them for the same ``x``, ``weights`` and ``training``.
    """
    out = _result(x, weights)
    scaled(plane, out, (mean, rstd), None if scale is None or shift is None else (scale, shift))
    return out


pointwise_layer = torch.library.custom_op("supernet::pointwise_layer", layer_forward, mutates_args=())


@pointwise_layer.register_fake
def _(x, weights, scale, shift, plane, mean, rstd, training):
    return _result(x, weights)


def _result(x: Tensor, weights: list[Tensor]) -> Tensor:
    """Return an uninitialized result."""
    shape = Shape.of(x, weights)
    return x.new_empty(shape.batch, *shape.sizes[2:], shape.channels)


def layer_backward(
    grad: Tensor,
    x: Tensor,
    weights: list[Tensor],
    scale: Tensor | None,
    plane: Tensor,
    mean: Tensor,
    rstd: Tensor,
    training: bool,
    of_image: bool,
    of_weights: bool,
) -> list[Tensor]:
    """Return the gradients of scale and shift, where there are any, then of the image and of the weights, if wanted.

    Args:
        grad: gradient of the result, ``(b, h, w, c)``, contiguous.
        of_image, of_weights: which gradients are wanted; the others as of ``layer_forward``.
    """
    coefficients, found = coefficients_of(grad, plane, (mean, rstd), scale, training)
    return found + gradients(x, tuple(weights), grad, plane, coefficients, of_image, of_weights)


pointwise_layer_backward = torch.library.custom_op(
    "supernet::pointwise_layer_backward", layer_backward, mutates_args=()
)


@pointwise_layer_backward.register_fake
def _(grad, x, weights, scale, plane, mean, rstd, training, of_image, of_weights):
    wanted = [*([] if scale is None else [scale] * 2), *([x] if of_image else []), *(weights if of_weights else [])]
    return [torch.empty_like(given, memory_format=torch.contiguous_format) for given in wanted]


def _setup(ctx, inputs, output):
    x, weights, scale, _, plane, mean, rstd, ctx.training = inputs
    ctx.affine = scale is not None
    ctx.save_for_backward(x, plane, mean, rstd, *([scale] if ctx.affine else []), *weights)


def _backward(ctx, grad):
    x, plane, mean, rstd, *rest = ctx.saved_tensors
    scale, weights = (rest[0], rest[1:]) if ctx.affine else (None, rest)
    of_image, need = ctx.needs_input_grad[:2]
    of_weights = any(need) if isinstance(need, Sequence) else bool(need)
    given = grad.contiguous(), x, weights, scale, plane, mean, rstd, ctx.training, of_image, of_weights
    found = iter(pointwise_layer_backward(*given))
    affine = [next(found) if ctx.affine else None for _ in range(2)]
    image = next(found) if of_image else None
    return image, list(found) if of_weights else [None] * len(weights), *affine, *[None] * 4


pointwise_layer.register_autograd(_backward, setup_context=_setup)
