"""The mixed operation for all edges that leave a state at once, on any device.

What makes it fast, in one pass over a state ``x`` with ``e`` outgoing edges:

* ReLU once, and one depthwise convolution for the stacked weights of all edges (``e c`` groups).
* Pooling has no parameters and its BatchNorm is not affine: pooled and normalized once, whatever the number of edges.
* A pointwise convolution ``p``, the BatchNorm behind it and the gate are one linear map of the depthwise output ``d``.
  BatchNorm's statistics of ``y = d p`` follow from the covariance of ``d``: ``var(y) = diag(p' cov(d) p)``. So ``y`` is
  never stored, and the sum over candidates accumulates inside the matrix products, forward and backward.
* A dilation-2 convolution at stride 2 reads even pixels only: it is a dense convolution on the subsampled image.

In memory, images are channels-last with channels ordered ``(e c)``, so that ``(e, m, c)`` is a view.
Differentiable once. Under autocast, states and products have its type, statistics that of the parameters.

Axes: ``e`` edge, ``o`` candidate, ``m`` pixel of the batch (``b h w``), ``k`` input and ``c`` output channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from supernet.depthwise import depthwise_conv
from supernet.ops import BatchNorm, DilConv, FactorizedReduce, SepConv, Zero, shifted
from supernet.stacked import unstack

if TYPE_CHECKING:
    from supernet.mixed import MixedGraph, MixedSource


def batched(graph: MixedGraph, inputs: Sequence[Tensor], gates: Tensor) -> list[Tensor]:
    """All states of the graph; equal to ``reference``, computed source by source instead of edge by edge."""
    device = inputs[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs[0].dtype
    with torch.autocast(device, enabled=False):
        states = [x.to(dtype, memory_format=torch.channels_last) for x in inputs]
        sums: list[Tensor | None] = [None] * graph.nodes
        for state, source in enumerate(graph.sources):
            leaving = _leaving(source, states[state], gates[list(source.rows)])
            for target, y in zip(source.targets, leaving):
                sums[target] = y if sums[target] is None else sums[target] + y
            complete = state + 1 - graph.inputs
            if complete >= 0:
                states.append(sums[complete])
    return states


class _Linear(NamedTuple):
    """A candidate up to its last, linear step: it delivers ``BatchNorm(d p)``; or ``d`` itself, without ``p``.

    ``d`` is ``(b, e k, h, w)``, or ``(b, k, h, w)`` where all edges share it; ``p`` is ``(e, k, c)``.
    """

    d: Tensor
    p: Tensor | None = None
    norm: BatchNorm | None = None


def _leaving(source: MixedSource, x: Tensor, gates: Tensor) -> Sequence[Tensor]:
    """What each edge that leaves ``x`` delivers: ``e`` tensors ``(b, c, h, w)``. ``gates`` is ``(e, o)``."""
    edges = len(source.rows)
    linear: dict[int, _Linear] = {}
    others: dict[int, nn.Module] = {}
    repeated = None
    for column, op in enumerate(source.ops.values()):
        match op:
            case Zero():
                pass
            case nn.Identity():
                linear[column] = _Linear(x)
            case nn.Sequential() if isinstance(op[0], nn.MaxPool2d | nn.AvgPool2d):
                eye = torch.eye(x.shape[1], dtype=gates.dtype, device=x.device).expand(edges, -1, -1)
                linear[column] = _Linear(op[0](x), eye, op[1])
            case FactorizedReduce():
                linear[column] = _Linear(_two_phases(F.relu(x)), _two_blocks(op), op.bn)
            case DilConv() | SepConv():
                repeated = _repeat(F.relu(x), edges) if repeated is None else repeated
                linear[column] = _separable(op.op, repeated)
            case _:
                others[column] = op
    leaving = [Zero(source.stride)(x)] * edges
    if linear:
        leaving = _gated_sum(list(linear.values()), gates[:, list(linear)])
    for column, op in others.items():
        each = zip(leaving, gates[:, column], unstack(op, edges))
        leaving = [y + gate * functional_call(op, copy, (x,)) for y, gate, copy in each]
    return leaving


def _separable(layers: nn.Sequential, x: Tensor) -> _Linear:
    """ReLU (done), depthwise, pointwise, BatchNorm; once for a dilated convolution, twice for a separable one."""
    if len(layers) > 4:
        _, depthwise, pointwise, norm = layers[:4]
        x = _normed_relu(_Linear(_depthwise(x, depthwise), _matrix(pointwise), norm))
    _, depthwise, pointwise, norm = layers[-4:]
    return _Linear(_depthwise(x, depthwise), _matrix(pointwise), norm)


def _matrix(pointwise: nn.Conv2d) -> Tensor:
    """A stacked 1x1 convolution ``(e, c, k, 1, 1)`` as matrices ``(e, k, c)``."""
    return pointwise.weight.flatten(2).transpose(1, 2)


def _two_phases(x: Tensor) -> Tensor:
    """What the two convolutions of a factorized reduction read, ``(b, 2 c, h / 2, w / 2)``."""
    return torch.cat([half[:, :, ::2, ::2] for half in (x, shifted(x))], 1)


def _two_blocks(op: FactorizedReduce) -> Tensor:
    """Both convolutions of a factorized reduction as block-diagonal matrices, ``(e, 2 k, c)``."""
    first, second = _matrix(op.conv_1), _matrix(op.conv_2)
    return torch.cat([F.pad(first, (0, second.shape[2])), F.pad(second, (first.shape[2], 0))], 1)


def _depthwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """The stacked depthwise convolutions of ``e`` edges on ``(b, e c, h, w)``."""
    (stride, _), (dilation, _) = conv.stride, conv.dilation
    if stride == dilation == 2:
        x, stride, dilation = x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last), 1, 1
    weight = conv.weight.flatten(0, 1).to(x.dtype)
    return depthwise_conv(x, weight, stride, dilation)


def _normed_relu(linear: _Linear) -> Tensor:
    """``relu(BatchNorm(d p))`` as an image ``(b, e c, h, w)``."""
    d, p, norm = linear
    if norm.training:
        d, mean = _Centred.apply(d)
        return _NormedReLU.apply(d, p, mean, norm.running_mean, norm.running_var)
    scale, shift = _affine(norm)
    y = torch.matmul(_rows(d, len(p)), (p * scale).to(d.dtype)) + shift.to(d.dtype)
    return _image(F.relu(y), d)


def _gated_sum(candidates: Sequence[_Linear], gates: Tensor) -> Sequence[Tensor]:
    """``sum_o gates[e, o] * candidate_o`` for each edge, ``(b, c, h, w)``."""
    if all(norm is None or norm.training for _, _, norm in candidates):
        inputs, buffers = [], []
        for d, _, norm in candidates:
            d, mean = _Centred.apply(d) if norm else (d, None)
            inputs.append(d)
            buffers.append((mean, norm.running_mean, norm.running_var) if norm else None)
        return _GatedSum.apply(buffers, gates, *inputs, *(p for _, p, _ in candidates))
    total = 0
    for (d, p, norm), gate in zip(candidates, gates[:, :, None, None].unbind(1)):
        if p is None:
            total = total + gate.to(d.dtype) * _rows(d, 1)
        else:
            scale, shift = _affine(norm)
            rows = _rows(d, d.shape[1] // p.shape[1])
            total = total + torch.matmul(rows, (p * scale * gate).to(d.dtype)) + (shift * gate).to(d.dtype)
    return [_image(rows[None], candidates[0].d) for rows in total.unbind(0)]


def _affine(norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """BatchNorm by its running statistics as a scale and a shift, each ``(e, 1, c)``."""
    scale = (norm.running_var + norm.eps).rsqrt()[:, None]
    return scale, -norm.running_mean[:, None] * scale


def _rows(x: Tensor, edges: int) -> Tensor:
    """``(b, e c, h, w) -> (e, m, c)``, a view where the image is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, edges, x.shape[1] // edges).transpose(0, 1)


def _image(rows: Tensor, like: Tensor) -> Tensor:
    """``(e, m, c) -> (b, e c, h, w)``, channels-last, with the batch and size of ``like``."""
    b, _, h, w = like.shape
    return rows.transpose(0, 1).reshape(b, h, w, -1).permute(0, 3, 1, 2)


def _repeat(x: Tensor, edges: int) -> Tensor:
    """``(b, c, h, w) -> (b, e c, h, w)``, channels-last."""
    return x.permute(0, 2, 3, 1).repeat(1, 1, 1, edges).permute(0, 3, 1, 2)


class _Centred(torch.autograd.Function):
    """Subtract each channel's mean, in place, and return it as well.

    Only before BatchNorm: it would remove the mean anyhow, so the gradient passes unchanged; and the covariance of
    centred values loses no digits.
    """

    @staticmethod
    def forward(ctx, x):
        mean = x.mean((0, 2, 3))
        x.sub_(mean[:, None, None])
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable(mean)
        return x, mean

    @staticmethod
    def backward(ctx, grad, _):
        return grad


class _NormedReLU(torch.autograd.Function):
    """``relu(BatchNorm(d p))``: the first half of a separable convolution after its depthwise part."""

    @staticmethod
    def forward(ctx, d, p, *buffers):
        rows = _rows(d, len(p))
        cp, rho = _moments(rows, p, *buffers)
        y = torch.bmm(rows, (p * rho).to(d.dtype))
        h = y.new_empty(y.shape[1], y.shape[0], y.shape[2])
        torch.clamp_min(y.transpose(0, 1), 0, out=h)  # the change of layout costs no pass of its own
        h = _image(h.transpose(0, 1), d)
        ctx.save_for_backward(d, p, cp, rho, h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        d, p, cp, rho, h = ctx.saved_tensors
        need_d, need_p, *_ = ctx.needs_input_grad
        grad = _rows(torch.ops.aten.threshold_backward(grad, h, 0), len(p))
        grad_d, grad_p, _ = _linear_backward(grad, grad.mean(1, keepdim=True), d, p, cp, rho, rho, need_d, need_p)
        return grad_d, grad_p, None, None, None


class _GatedSum(torch.autograd.Function):
    """``sum_o gates[e, o] * BatchNorm(d_o p_o)`` for each edge; a candidate without ``p`` enters as it is."""

    @staticmethod
    def forward(ctx, buffers, gates, *inputs):
        ds, ps = inputs[: len(buffers)], inputs[len(buffers) :]
        edges = len(gates)
        b, _, h, w = ds[0].shape
        channels = next((p.shape[2] for p in ps if p is not None), ds[0].shape[1])
        total = ds[0].new_empty(edges, b * h * w, channels)
        saved, keep = [], 0
        for d, p, buffer, gate in zip(ds, ps, buffers, gates.unbind(1)):
            if p is None:
                pixels = d.permute(0, 2, 3, 1).reshape(1, -1)
                total.view(edges, -1).addmm_(gate[:, None].to(d.dtype), pixels, beta=keep)
                saved += [d, None, None, None]
            else:
                rows = _rows(d, d.shape[1] // p.shape[1])
                cp, rho = _moments(rows, p, *buffer)
                q = (p * rho * gate[:, None, None]).to(d.dtype)
                total.baddbmm_(rows.expand(edges, -1, -1), q, beta=keep)
                saved += [d, p, cp, rho]
            keep = 1
        ctx.save_for_backward(gates, *saved)
        return tuple(_image(rows[None], ds[0]) for rows in total.unbind(0))

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        gates, *saved = ctx.saved_tensors
        count = gates.shape[1]
        grad = torch.cat([_rows(g, 1) for g in grads])
        grad_mean = grad.mean(1, keepdim=True)
        need_gates, *need = ctx.needs_input_grad[1:]
        grad_ds, grad_ps, grad_gates = [], [], []
        for o in range(count):
            (d, p, cp, rho), gate = saved[4 * o : 4 * o + 4], gates[:, o]
            if p is None:
                pixels = d.permute(0, 2, 3, 1).reshape(-1, 1)
                grad_gates.append(torch.mm(grad.flatten(1), pixels)[:, 0].to(gates.dtype))
                flat = torch.mm(gate[None].to(d.dtype), grad.flatten(1))
                grad_ds.append(_image(flat.view(1, *grad.shape[1:]), d))
                grad_ps.append(None)
            else:
                scale = rho * gate[:, None, None]
                terms = _linear_backward(grad, grad_mean, d, p, cp, rho, scale, need[o], need[count + o])
                grad_ds.append(terms[0])
                grad_ps.append(terms[1])
                grad_gates.append(terms[2])
        return None, torch.stack(grad_gates, 1) if need_gates else None, *grad_ds, *grad_ps


def _moments(d: Tensor, p: Tensor, mean: Tensor, running_mean: Tensor, running_var: Tensor) -> tuple[Tensor, Tensor]:
    """``cov(d) p``, ``(e, k, c)``, and ``1 / std(d p)``, ``(e, 1, c)``; the running statistics of ``d p`` move.

    ``d`` is ``(e, m, k)`` or ``(1, m, k)``, centred; ``mean`` is what was subtracted.
    """
    pixels = d.shape[1]
    exact = d.to(p.dtype)
    covariance = torch.bmm(exact.transpose(1, 2), exact).div_(pixels)
    cp = torch.matmul(covariance, p)
    variance = (cp * p).sum(1, keepdim=True)
    mean = torch.matmul(mean.to(p.dtype).view(len(d), 1, -1), p)
    running_mean.lerp_(mean[:, 0], BatchNorm.momentum)
    running_var.lerp_(variance[:, 0] * (pixels / max(pixels - 1, 1)), BatchNorm.momentum)
    return cp, (variance + BatchNorm.eps).rsqrt()


def _linear_backward(grad, grad_mean, d, p, cp, rho, scale, need_d, need_p):
    """Gradients of ``scale / rho * z``, ``z = BatchNorm(d p)``, with respect to ``d``, ``p`` and the gate in ``scale``.

    BatchNorm's backward is ``dy = scale (g - mean(g) - z mean(g z))``. As ``z`` is linear in ``d``, ``dd = dy p'`` is
    a product with ``g``, a product with ``d`` and a constant row; and ``mean(g z)`` follows from ``x = d' g / m``,
    which is the main term of the weight's gradient too. The gate's gradient is ``m sum_c mean(g z)``.

    Args:
        grad: ``(e, m, c)``; grad_mean: its mean over pixels, ``(e, 1, c)``.
        d: the image ``(b, e k, h, w)`` or ``(b, k, h, w)``, centred; ``p``, ``cp``: ``(e, k, c)``.
        rho, scale: ``(e, 1, c)``.
    """
    edges, pixels, _ = grad.shape
    rows = _rows(d, d.shape[1] // p.shape[1])
    x = torch.bmm(rows.transpose(1, 2).expand(edges, -1, -1), grad).to(p.dtype).div_(pixels)
    gz = rho * (x * p).sum(1, keepdim=True)
    grad_d = grad_p = None
    if need_d:
        a = (p * scale).transpose(1, 2)
        b = torch.bmm(p * (-rho * gz), a)
        constant = -torch.bmm(grad_mean.to(p.dtype), a)
        if len(rows) == edges:
            product = torch.baddbmm(constant.to(d.dtype), grad, a.to(d.dtype)).baddbmm_(rows, b.to(d.dtype))
        else:
            product = torch.addmm(constant.sum(0).to(d.dtype), rows[0], b.sum(0).to(d.dtype))
            for edge in range(edges):
                product.addmm_(grad[edge], a[edge].to(d.dtype))
            product = product[None]
        grad_d = _image(product, d)
    if need_p:
        grad_p = (x - cp * (rho * gz)).mul_(scale).mul_(pixels)
    return grad_d, grad_p, gz.sum((1, 2)) * pixels
