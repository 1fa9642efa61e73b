"""Layers of derived networks and of cells' inputs on a CPU: ReLU, convolution and BatchNorm as one function.

BatchNorm's statistics come out of the convolution; its backward is formed where the plane's gradient is read. Kept for
the backward pass are the input, the plane before BatchNorm and its statistics; neither ReLU's nor a depthwise output is
stored. Differentiable once.

Axes: ``b`` batch, ``h w`` space, ``k`` input and ``c`` output channel, ``m`` pixel of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from supernet.fused.cpu.functions import (
    SIDES,
    Conv,
    Output,
    Pointwise,
    combine_forward,
    combine_sums,
    convs_backward,
    convs_forward,
    pointwise_backward,
    pointwise_forward,
)
from supernet.fused.cpu.library import TYPES
from supernet.ops import BatchNorm, FactorizedReduce, Fusable, ReLUConvBN, Separable


def fused(x: Tensor, module: Fusable) -> Tensor:
    """Return the output of a layer, ``(b, c, h, w)``; by PyTorch's operations what these functions do not compute.

    Those are other types than float32 and float64, or than the layer's own; autocast; kernels of a side that is not
    among ``SIDES``; and what ``torch.compile`` traces.
    """
    found = None
    if not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")):
        match module:
            case Separable():
                found = _separable(module.op)
            case ReLUConvBN():
                _, conv, norm = module.op
                found = _Pointwise(1, (0,)), norm, [conv.weight]
            case FactorizedReduce():
                found = _Pointwise(2, (0, 1)), module.bn, [module.conv_1.weight, module.conv_2.weight]
    if found is None:
        return module.composed(x)
    convs, norm, weights = found
    assert isinstance(norm, BatchNorm)
    if x.dtype not in TYPES or x.dtype != norm.running_mean.dtype:
        return module.composed(x)
    return _Layer.apply(convs, norm, x, norm.weight, norm.bias, *weights)


def _separable(op: nn.Sequential) -> tuple[_Convs, nn.Module, list[Any]] | None:
    """Return convolutions, last BatchNorm and weights of a separable convolution, once or twice."""
    _, depthwise, pointwise, norm, *second = op
    assert isinstance(depthwise, nn.Conv2d) and isinstance(norm, BatchNorm)
    stride, kernel = depthwise.stride[0], (depthwise.kernel_size[0], depthwise.dilation[0])
    weights: list[Any] = [depthwise.weight, pointwise.weight]
    if kernel[0] not in SIDES:
        return None
    if not second:
        return _Separable(stride, kernel), norm, weights
    _, depthwise_2, pointwise_2, norm_2 = second
    weights += [depthwise_2.weight, pointwise_2.weight]
    if norm.weight is not None:
        weights += [norm.weight, norm.bias]
    return _SeparableTwice(stride, kernel, norm, norm.training), norm_2, weights


class _Convs(Protocol):
    """Convolutions of ReLU of an image, whose output is a plane."""

    @property
    def stride(self) -> int: ...

    def forward(self, x: Tensor, weights: Sequence[Tensor], output: Output) -> list[Tensor]:
        """Write the plane; return what the backward pass needs beside it."""
        ...

    def backward(
        self, x: Tensor, weights: Sequence[Tensor], output: Output, kept: Sequence[Tensor], grads: Sequence[Tensor]
    ) -> Tensor:
        """Return the gradient of ``x``, and write those of the weights, if there are any."""
        ...


class _Separable(NamedTuple):
    """A depthwise and a pointwise convolution; ``kernel``: side and dilation."""

    stride: int
    kernel: tuple[int, int]

    def forward(self, x: Tensor, weights: Sequence[Tensor], output: Output) -> list[Tensor]:
        convs_forward(x, [_conv(self.kernel, weights, output)], self.stride)
        return []

    def backward(
        self, x: Tensor, weights: Sequence[Tensor], output: Output, kept: Sequence[Tensor], grads: Sequence[Tensor]
    ) -> Tensor:
        row, out = _conv(self.kernel, weights, output), torch.empty_like(x)
        if grads:
            row = row._replace(depthwise_grad=grads[0], pointwise_grad=grads[1])
        convs_backward(x, out, [row], self.stride, add=False)
        return out


class _SeparableTwice(NamedTuple):
    """Both halves of a separable convolution: the first one's plane is normalized where the second one reads it.

    The weights are those of both halves, and the first BatchNorm's scale and shift where ``norm`` learns them.
    """

    stride: int
    kernel: tuple[int, int]
    norm: BatchNorm
    training: bool

    def forward(self, x: Tensor, weights: Sequence[Tensor], output: Output) -> list[Tensor]:
        plane = torch.empty_like(output.plane)
        first, mean, rstd = _output(plane, self.norm)
        convs_forward(x, [_conv(self.kernel, weights[:2], first)], self.stride)
        row = self._second(weights, plane, mean, rstd, output)
        convs_forward(self._image(plane, x), [row])
        return [plane, mean, rstd]

    def backward(
        self, x: Tensor, weights: Sequence[Tensor], output: Output, kept: Sequence[Tensor], grads: Sequence[Tensor]
    ) -> Tensor:
        plane, mean, rstd = kept
        back, (a, b, s) = torch.empty_like(plane), mean.new_empty(3, len(mean)).unbind(0)
        row = self._second(weights, plane, mean, rstd, output)
        row = row._replace(back=back, back_a=a, back_b=b, back_s=s)
        if grads:
            row = row._replace(depthwise_grad=grads[2], pointwise_grad=grads[3])
        if len(grads) > 4:
            row = row._replace(scale_grad=grads[4], shift_grad=grads[5])
        convs_backward(self._image(plane, x), None, [row], training=self.training)
        first = Output(plane, grad=back, a=a, b=b, s=s)
        return _Separable(self.stride, self.kernel).backward(x, weights[:2], first, [], grads[:2])

    def _second(self, weights: Sequence[Tensor], plane: Tensor, mean: Tensor, rstd: Tensor, output: Output) -> Conv:
        scale, shift = weights[4:] or (None, None)
        row = _conv((self.kernel[0], 1), weights[2:4], output)._replace(
            source=plane, source_mean=mean, source_rstd=rstd
        )
        return row._replace(source_scale=scale, source_shift=shift)

    def _image(self, plane: Tensor, x: Tensor) -> Tensor:
        """Return the plane of an input as an image."""
        b, h, w, _ = x.shape
        return plane.view(b, -(-h // self.stride), -(-w // self.stride), plane.shape[1])


class _Pointwise(NamedTuple):
    """1x1 convolutions of the image shifted by so many pixels each; their outputs stand side by side."""

    stride: int
    shifts: tuple[int, ...]

    def forward(self, x: Tensor, weights: Sequence[Tensor], output: Output) -> list[Tensor]:
        pointwise_forward(x, self._convs(weights, []), output, self.stride)
        return []

    def backward(
        self, x: Tensor, weights: Sequence[Tensor], output: Output, kept: Sequence[Tensor], grads: Sequence[Tensor]
    ) -> Tensor:
        out = torch.empty_like(x)
        pointwise_backward(x, out, self._convs(weights, grads), output, self.stride)
        return out

    def _convs(self, weights: Sequence[Tensor], grads: Sequence[Tensor]) -> list[Pointwise]:
        found, first = [], 0
        for index, (shift, weight) in enumerate(zip(self.shifts, weights)):
            found.append(Pointwise(shift, first, len(weight), weight, grads[index] if grads else None))
            first += len(weight)
        return found


class _Layer(torch.autograd.Function):
    """Convolutions of ReLU of an image, and BatchNorm."""

    @staticmethod
    def forward(
        ctx: Any,
        convs: _Convs,
        norm: BatchNorm,
        x: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        *weights: Tensor,
    ) -> Tensor:
        """``scale`` and ``shift``: of the BatchNorm, where it learns them."""
        image, given = _rows(x), [weight.contiguous() for weight in weights]
        size = len(x), *(-(-length // convs.stride) for length in image.shape[1:3]), len(norm.running_mean)
        plane = image.new_empty(size[0] * size[1] * size[2], size[3])
        output, mean, rstd = _output(plane, norm)
        kept = convs.forward(image, given, output)
        out, slope = torch.empty_like(plane), rstd if scale is None else scale * rstd
        constant = -slope * mean if shift is None else shift - slope * mean
        combine_forward(out, [plane], slope[None], constant)
        ctx.save_for_backward(image, scale, plane, mean, rstd, *given, *kept)
        ctx.convs, ctx.training, ctx.count = convs, norm.training, len(given)
        return out.view(size).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        image, scale, plane, mean, rstd, *rest = ctx.saved_tensors
        weights, kept = rest[: ctx.count], rest[ctx.count :]
        g = _rows(grad).view_as(plane)
        sums = combine_sums(g, [plane], mean[None], len(image))
        to_shift, to_scale = sums[1], sums[0] * rstd
        a = rstd if scale is None else scale * rstd
        b, s = torch.zeros_like(a), torch.zeros_like(a)
        if ctx.training:
            b = -a * rstd * to_scale / len(plane)
            s = -a * to_shift / len(plane) - b * mean
        need = any(ctx.needs_input_grad[5:])
        grads = [torch.empty_like(weight) for weight in weights] if need else []
        out = ctx.convs.backward(image, weights, Output(plane, grad=g, a=a, b=b, s=s), kept, grads)
        affine = (None, None) if scale is None else (to_scale, to_shift)
        found: list[Tensor | None] = [*grads] if need else [None] * len(weights)
        return None, None, out.permute(0, 3, 1, 2), *affine, *found


def _conv(kernel: tuple[int, int], weights: Sequence[Tensor], output: Output) -> Conv:
    """Return the row of a depthwise kernel of this side and dilation, and of both weights."""
    return Conv(kernel[0], kernel[1], weights[0], weights[1], *output)


def _output(plane: Tensor, norm: BatchNorm) -> tuple[Output, Tensor, Tensor]:
    """Return what a forward pass writes, and mean and 1 / std of the plane, ``(c,)``: those written, or the running."""
    if not norm.training:
        return Output(plane), norm.running_mean.clone(), (norm.running_var + norm.eps).rsqrt()
    mean, rstd, variance = plane.new_empty(3, plane.shape[1]).unbind(0)
    return Output(plane, mean, rstd, variance, norm.running_mean, norm.running_var), mean, rstd


def _rows(x: Tensor) -> Tensor:
    """``(b, c, h, w) -> (b, h, w, c)``, contiguous; a view where the image is channels-last."""
    return x.permute(0, 2, 3, 1).contiguous()
