"""Separable convolutions of derived networks: ReLU, depthwise, pointwise and BatchNorm as one operator.

A derived network has one operation on an edge, so a half of a separable convolution is a launch of one plane: the
kernels of ``conv_forward``, ``conv_backward`` and ``conv_weight_backward`` with a gate of 1, followed by a BatchNorm
that learns a scale and a shift. Its statistics come out of the convolution; its backward is formed where the plane's
gradient is read. Kept for the backward pass are the input, the plane and its statistics; neither ReLU's nor the
depthwise output is stored.

Registered with ``torch.library``, as the mixed graph is. Differentiable once.

Axes: ``b`` batch, ``h w`` space, ``k`` input and ``c`` output channel, ``m`` pixel of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.fused.batch_norm import finalize_statistics
from supernet.fused.conv_backward import input_gradient, plane_gradients
from supernet.fused.conv_forward import convs_forward
from supernet.fused.conv_weight_backward import conv_weight_gradients
from supernet.fused.dense import Kinds, dense_weights
from supernet.fused.launch import ceil_div, on_device, sum_type
from supernet.fused.layers.pointwise_backward import coefficients_of
from supernet.fused.layers.pointwise_forward import scaled
from supernet.fused.rows import ConvRow
from supernet.fused.tables import table_of
from supernet.ops import BatchNorm

ROWS = (ConvRow(kind=0, slot=0, source=-1, target=0, gate=0, behind=0),)
"""The only row of a launch."""


def separable(image: Tensor, op: nn.Sequential) -> Tensor:
    """Return ReLU, depthwise and pointwise convolution and BatchNorm of an image, repeated for each half.

    Args:
        image: ``(b, h, w, k)``, contiguous.
        op: four modules for each half; in training their running statistics are updated.
    """
    halves = list(op)
    for first in range(0, len(halves), 4):
        _, depthwise, pointwise, norm = halves[first : first + 4]
        assert isinstance(depthwise, nn.Conv2d) and isinstance(pointwise, nn.Conv2d) and isinstance(norm, BatchNorm)
        image = _half(image, depthwise, pointwise.weight, norm)
    return image


def _half(image: Tensor, depthwise: nn.Conv2d, pointwise: Tensor, norm: BatchNorm) -> Tensor:
    geometry = depthwise.stride[0], depthwise.dilation[0]
    running = norm.running_mean, norm.running_var
    weights = depthwise.weight, pointwise, norm.weight, norm.bias
    out, _, mean, _, variance = separable_half(image, *weights, *running, *geometry, norm.training)
    if norm.training:
        with torch.no_grad():
            for kept, new in zip(running, (mean, variance)):
                kept.lerp_(new[0].to(kept.dtype), norm.momentum)
    return out


def _kinds(depthwise: Tensor, pointwise: Tensor, dilation: int) -> Kinds:
    return Kinds((depthwise.shape[2],), (dilation,), (depthwise[None],), (pointwise[None],))


def _gate(x: Tensor) -> Tensor:
    return on_device((1.0,), x.device, sum_type(x.dtype))


def half_forward(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    shift: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    stride: int,
    dilation: int,
    training: bool,
) -> list[Tensor]:
    """Compute one half.

    Args:
        x: ``(b, h, w, k)``, contiguous.
        depthwise: ``(k, 1, side, side)``; pointwise: ``(c, k, 1, 1)``, ``c = k``.
        scale, shift, running_mean, running_var: of BatchNorm, ``(c,)``.
        training: whether BatchNorm uses the batch's statistics.

    Returns:
        The result, ``(b, h, w, c)``; the plane before BatchNorm, ``(1, m, c)``; mean, 1 / std and unbiased variance,
        ``(1, c)``; the variance is undefined in evaluation.
    """
    out, plane, mean, rstd, variance = _empty(x, stride)
    table, gate = table_of(ROWS, x.device), _gate(x)
    kinds, pixels = _kinds(depthwise, pointwise, dilation), plane.shape[1]
    dense = dense_weights(ROWS, kinds, x)
    partial, tile = convs_forward(x, plane, dense, ROWS, kinds, gate, stride)
    if training:
        finalize_statistics(partial, tile, pixels, table, mean, rstd, variance, gate)
    else:
        mean[0], rstd[0] = running_mean, (running_var.to(mean.dtype) + BatchNorm.eps).rsqrt()
    scaled(plane[0], out, (mean[0], rstd[0]), (scale, shift))
    return [out, plane, mean, rstd, variance]


separable_half = torch.library.custom_op("supernet::separable_half", half_forward, mutates_args=())


@separable_half.register_fake
def _(x, depthwise, pointwise, scale, shift, running_mean, running_var, stride, dilation, training):
    return list(_empty(x, stride))


def _empty(x: Tensor, stride: int) -> tuple[Tensor, ...]:
    """Return uninitialized result, plane, mean, 1 / std and variance."""
    b, h, w, c = x.shape
    out = x.new_empty(b, ceil_div(h, stride), ceil_div(w, stride), c)
    plane = x.new_empty(1, out.numel() // c, c)
    return out, plane, *(x.new_empty(1, c, dtype=sum_type(x.dtype)) for _ in range(3))


def half_backward(
    grad: Tensor,
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    scale: Tensor,
    plane: Tensor,
    mean: Tensor,
    rstd: Tensor,
    stride: int,
    dilation: int,
    training: bool,
) -> list[Tensor]:
    """Return the gradients of a half with respect to ``x``, ``depthwise``, ``pointwise``, ``scale`` and ``shift``.

    Args:
        grad: gradient of the result, ``(b, h, w, c)``, contiguous.
        plane, mean, rstd: as ``half_forward`` returned them; the others as it takes them.
    """
    _, pixels, channels = plane.shape
    gate, grads = _gate(x), grad.view(1, pixels, channels)
    kinds = _kinds(depthwise, pointwise, dilation)
    coefficients, to_norm = coefficients_of(grad, plane[0], (mean[0], rstd[0]), scale, training)
    b, h, w, _ = grad.shape
    dy = plane_gradients(plane, grads, coefficients[:, None], ROWS, gate, (b, h, w))
    (to_depthwise,), (to_pointwise,) = conv_weight_gradients(x, dy, ROWS, kinds, gate, stride)
    back = torch.zeros_like(x)
    input_gradient(x, dy, back, dense_weights(ROWS, kinds, x), ROWS, kinds, stride)
    return [back, to_depthwise[0], to_pointwise[0], *to_norm]


separable_half_backward = torch.library.custom_op("supernet::separable_half_backward", half_backward, mutates_args=())


@separable_half_backward.register_fake
def _(grad, x, depthwise, pointwise, scale, plane, mean, rstd, stride, dilation, training):
    return [torch.empty_like(given) for given in (x, depthwise, pointwise, scale, scale)]


def _setup(ctx, inputs, output):
    x, depthwise, pointwise, scale, _, _, _, *ctx.options = inputs
    _, plane, mean, rstd, _ = output
    ctx.save_for_backward(x, depthwise, pointwise, scale, plane, mean, rstd)


def _backward(ctx, grads):
    return *separable_half_backward(grads[0].contiguous(), *ctx.saved_tensors, *ctx.options), *[None] * 5


separable_half.register_autograd(_backward, setup_context=_setup)
