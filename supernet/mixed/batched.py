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

from supernet.mixed.active import ActiveEdges, RunningStats, active_edges
from supernet.mixed.depthwise import depthwise_conv
from supernet.mixed.stacked import unstack
from supernet.ops import BatchNorm, DilConv, FactorizedReduce, SepConv, Zero, over_ranks, shifted

if TYPE_CHECKING:
    from supernet.mixed.graph import MixedSource


def batched(source: MixedSource, x: Tensor, gates: Tensor) -> Sequence[Tensor]:
    """What each edge that leaves ``x`` delivers, ``(b, c, h, w)``; equal to ``reference``. ``gates`` is ``(e, o)``.

    On a CPU, edges whose gate of a candidate is 0 are left out of that candidate's stack. Elsewhere their values are
    not known without waiting for the device: all are computed, and what 0 must not move is held still.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    with torch.autocast(device, enabled=False):
        x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        if device == "cpu":
            return _leaving(source, x, gates, (gates.detach() != 0).tolist())
        return _leaving(source, x, gates * (gates != 0), None)


class _Linear(NamedTuple):
    """A candidate up to its last, linear step: it delivers ``BatchNorm(d p)``; or ``d`` itself, without ``p``.

    ``d`` is ``(b, e k, h, w)``, or ``(b, k, h, w)`` where all edges share it; ``p`` is ``(e, k, c)``.
    """

    used: ActiveEdges
    d: Tensor
    p: Tensor | None = None
    norm: BatchNorm | None = None


def _leaving(source: MixedSource, x: Tensor, gates: Tensor, live: list[list[bool]] | None) -> Sequence[Tensor]:
    """``live``: which gates are not 0, where that is known."""
    linear: list[_Linear] = []
    others: list[tuple[ActiveEdges, list[dict[str, Tensor]], nn.Module]] = []
    repeated: dict[int, Tensor] = {}
    for name, op in source.ops.items():
        used = active_edges(source, name, gates, live)
        if used is None:
            continue
        match op:
            case Zero():
                pass
            case nn.Identity():
                linear.append(_Linear(used, x))
            case nn.Sequential() if isinstance(op[0], nn.MaxPool2d | nn.AvgPool2d):
                eye = torch.eye(x.shape[1], dtype=gates.dtype, device=x.device).expand(used.count, -1, -1)
                linear.append(_Linear(used, op[0](x), eye, op[1]))
            case FactorizedReduce():
                linear.append(_Linear(used, _two_phases(F.relu(x)), _two_blocks(op, used), op.bn))
            case DilConv() | SepConv():
                if used.count not in repeated:
                    repeated[used.count] = _repeat(F.relu(x), used.count)
                linear.append(_separable(op.op, repeated[used.count], used))
            case _:
                others.append((used, unstack(op, len(source.edges[name])), op))
    leaving = list(_gated_sum(linear, len(gates))) if linear else [Zero(source.stride)(x)] * len(gates)
    for used, copies, op in others:
        for edge, part, gate in zip(used.edges, used.parts, used.gate.to(x.dtype)):
            leaving[edge] = leaving[edge] + gate * functional_call(op, copies[part], (x,))
    return leaving


def _separable(layers: nn.Sequential, x: Tensor, used: ActiveEdges) -> _Linear:
    """ReLU (done), depthwise, pointwise, BatchNorm; once for a dilated convolution, twice for a separable one."""
    if len(layers) > 4:
        _, depthwise, pointwise, norm = layers[:4]
        x = _normed_relu(_Linear(used, _depthwise(x, depthwise, used), _matrix(pointwise, used), norm))
    _, depthwise, pointwise, norm = layers[-4:]
    return _Linear(used, _depthwise(x, depthwise, used), _matrix(pointwise, used), norm)


def _matrix(pointwise: nn.Conv2d, used: ActiveEdges) -> Tensor:
    """A stacked 1x1 convolution ``(e, c, k, 1, 1)`` as matrices ``(e, k, c)``."""
    return used.of(pointwise.weight).flatten(2).transpose(1, 2)


def _two_phases(x: Tensor) -> Tensor:
    """What the two convolutions of a factorized reduction read, ``(b, 2 c, h / 2, w / 2)``."""
    return torch.cat([half[:, :, ::2, ::2] for half in (x, shifted(x))], 1)


def _two_blocks(op: FactorizedReduce, used: ActiveEdges) -> Tensor:
    """Both convolutions of a factorized reduction as block-diagonal matrices, ``(e, 2 k, c)``."""
    first, second = _matrix(op.conv_1, used), _matrix(op.conv_2, used)
    return torch.cat([F.pad(first, (0, second.shape[2])), F.pad(second, (first.shape[2], 0))], 1)


def _depthwise(x: Tensor, conv: nn.Conv2d, used: ActiveEdges) -> Tensor:
    """The stacked depthwise convolutions of ``e`` edges on ``(b, e c, h, w)``."""
    (stride, _), (dilation, _) = conv.stride, conv.dilation
    if stride == dilation == 2:
        x, stride, dilation = x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last), 1, 1
    weight = used.of(conv.weight).flatten(0, 1).to(x.dtype)
    return depthwise_conv(x, weight, stride, dilation)


def _normed_relu(linear: _Linear) -> Tensor:
    """``relu(BatchNorm(d p))`` as an image ``(b, e c, h, w)``."""
    used, d, p, norm = linear
    if norm.training:
        d, mean = _Centred.apply(d, norm.average)
        return _NormedReLU.apply(d, p, mean, RunningStats(used, norm))
    scale, shift = _affine(norm, used)
    y = torch.matmul(_rows(d, len(p)), (p * scale).to(d.dtype)) + shift.to(d.dtype)
    return _image(F.relu(y), d)


def _gated_sum(candidates: Sequence[_Linear], edges: int) -> Sequence[Tensor]:
    """``sum_o gates[e, o] * candidate_o`` for each edge, ``(b, c, h, w)``."""
    if all(norm is None or norm.training for _, _, _, norm in candidates):
        inputs, buffers = [], []
        for used, d, _, norm in candidates:
            d, mean = _Centred.apply(d, norm.average) if norm else (d, None)
            inputs.append(d)
            buffers.append((mean, RunningStats(used, norm)) if norm else None)
        used, _, ps, _ = zip(*candidates)
        at = [u.at for u in used]
        return _GatedSum.apply(edges, buffers, at, *inputs, *ps, *(u.gate for u in used))
    totals: list[Tensor | float] = [0.0] * edges
    for used, d, p, norm in candidates:
        gate = used.gate[:, None, None]
        if p is None:
            terms = gate.to(d.dtype) * _rows(d, 1)
        else:
            scale, shift = _affine(norm, used)
            rows = _rows(d, d.shape[1] // p.shape[1])
            terms = torch.matmul(rows, (p * scale * gate).to(d.dtype)) + (shift * gate).to(d.dtype)
        for edge, term in zip(used.edges, terms):
            totals[edge] = totals[edge] + term
    like = candidates[0].d
    pixels = next(total for total in totals if isinstance(total, Tensor))
    return [_image((t if isinstance(t, Tensor) else torch.zeros_like(pixels))[None], like) for t in totals]


def _affine(norm: BatchNorm, used: ActiveEdges) -> tuple[Tensor, Tensor]:
    """BatchNorm by its running statistics as a scale and a shift, each ``(e, 1, c)``."""
    scale = (used.of(norm.running_var) + norm.eps).rsqrt()[:, None]
    return scale, -used.of(norm.running_mean)[:, None] * scale


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
    def forward(ctx, x, average):
        mean = over_ranks(x.mean((0, 2, 3)), average)
        x.sub_(mean[:, None, None])
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable(mean)
        return x, mean

    @staticmethod
    def backward(ctx, grad, _):
        return grad, None


class _NormedReLU(torch.autograd.Function):
    """``relu(BatchNorm(d p))``: the first half of a separable convolution after its depthwise part."""

    @staticmethod
    def forward(ctx, d, p, mean, running):
        rows = _rows(d, len(p))
        cp, rho = _moments(rows, p, mean, running)
        y = torch.bmm(rows, (p * rho).to(d.dtype))
        h = y.new_empty(y.shape[1], y.shape[0], y.shape[2])
        torch.clamp_min(y.transpose(0, 1), 0, out=h)  # the change of layout costs no pass of its own
        h = _image(h.transpose(0, 1), d)
        ctx.save_for_backward(d, p, cp, rho, h)
        ctx.average = running.norm.average
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        d, p, cp, rho, h = ctx.saved_tensors
        need_d, need_p, *_ = ctx.needs_input_grad
        grad = _rows(torch.ops.aten.threshold_backward(grad, h, 0), len(p))
        grad_mean = over_ranks(grad.mean(1, keepdim=True), ctx.average)
        grad_d, grad_p, _ = _linear_backward(grad, grad_mean, d, p, cp, rho, rho, ctx.average, need_d, need_p)
        return grad_d, grad_p, None, None


class _GatedSum(torch.autograd.Function):
    """``sum_o gate_o[e] * BatchNorm(d_o p_o)`` for each edge; a candidate without ``p`` enters as it is.

    ``at[o]`` are the edges that have candidate ``o``, ``None`` for all.
    """

    @staticmethod
    def forward(ctx, edges, buffers, at, *tensors):
        ds, ps, gates = _thirds(tensors)
        b, _, h, w = ds[0].shape
        channels = next((p.shape[2] for p in ps if p is not None), ds[0].shape[1])
        shape = edges, b * h * w, channels
        total, keep = (ds[0].new_empty(shape), 0) if at[0] is None else (ds[0].new_zeros(shape), 1)
        saved = []
        for d, p, gate, buffer, which in zip(ds, ps, gates, buffers, at):
            part = total if which is None else total[which]
            if p is None:
                pixels = d.permute(0, 2, 3, 1).reshape(1, -1)
                part.view(len(gate), -1).addmm_(gate[:, None].to(d.dtype), pixels, beta=keep)
                saved += [gate, d, None, None, None]
            else:
                rows = _rows(d, d.shape[1] // p.shape[1])
                cp, rho = _moments(rows, p, *buffer)
                q = (p * rho * gate[:, None, None]).to(d.dtype)
                part.baddbmm_(rows.expand(len(gate), -1, -1), q, beta=keep)
                saved += [gate, d, p, cp, rho]
            if which is not None:
                total[which] = part
            keep = 1
        ctx.save_for_backward(*saved)
        ctx.at = at
        ctx.average = next((buffer[-1].norm.average for buffer in buffers if buffer), None)
        return tuple(_image(rows[None], ds[0]) for rows in total.unbind(0))

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        saved, at = ctx.saved_tensors, ctx.at
        whole = torch.cat([_rows(g, 1) for g in grads])
        whole_mean = over_ranks(whole.mean(1, keepdim=True), ctx.average)
        need_d, need_p, _ = _thirds(ctx.needs_input_grad[3:])
        grad_ds, grad_ps, grad_gates = [], [], []
        for o, (which, *needs) in enumerate(zip(at, need_d, need_p)):
            gate, d, p, cp, rho = saved[5 * o : 5 * o + 5]
            grad, grad_mean = (whole, whole_mean) if which is None else (whole[which], whole_mean[which])
            if p is None:
                pixels = d.permute(0, 2, 3, 1).reshape(-1, 1)
                grad_gates.append(torch.mm(grad.flatten(1), pixels)[:, 0].to(gate.dtype))
                flat = torch.mm(gate[None].to(d.dtype), grad.flatten(1))
                grad_ds.append(_image(flat.view(1, *grad.shape[1:]), d))
                grad_ps.append(None)
            else:
                scale = rho * gate[:, None, None]
                terms = _linear_backward(grad, grad_mean, d, p, cp, rho, scale, ctx.average, *needs)
                for terms_of, term in zip((grad_ds, grad_ps, grad_gates), terms):
                    terms_of.append(term)
        return None, None, None, *grad_ds, *grad_ps, *grad_gates


def _thirds(items: tuple) -> tuple[tuple, tuple, tuple]:
    count = len(items) // 3
    return items[:count], items[count : 2 * count], items[2 * count :]


def _moments(d: Tensor, p: Tensor, mean: Tensor, running: RunningStats) -> tuple[Tensor, Tensor]:
    """``cov(d) p``, ``(e, k, c)``, and ``1 / std(d p)``, ``(e, 1, c)``; the running statistics of ``d p`` move.

    ``d`` is ``(e, m, k)`` or ``(1, m, k)``, centred; ``mean`` is what was subtracted.
    """
    pixels = d.shape[1]
    exact = d.to(p.dtype)
    covariance = over_ranks(torch.bmm(exact.transpose(1, 2), exact).div_(pixels), running.norm.average)
    pixels *= running.norm.average.ranks if running.norm.average else 1
    cp = torch.matmul(covariance, p)
    variance = (cp * p).sum(1, keepdim=True)
    mean = torch.matmul(mean.to(p.dtype).view(len(d), 1, -1), p)
    running.move(mean[:, 0], variance[:, 0] * (pixels / max(pixels - 1, 1)))
    return cp, (variance + BatchNorm.eps).rsqrt()


def _linear_backward(grad, grad_mean, d, p, cp, rho, scale, average, need_d, need_p):
    """Gradients of ``scale / rho * z``, ``z = BatchNorm(d p)``, with respect to ``d``, ``p`` and the gate in ``scale``.

    BatchNorm's backward is ``dy = scale (g - mean(g) - z mean(g z))``. As ``z`` is linear in ``d``, ``dd = dy p'`` is
    a product with ``g``, a product with ``d`` and a constant row; and ``mean(g z)`` follows from ``x = d' g / m``,
    which is the main term of the weight's gradient too. The gate's gradient is ``m sum_c mean(g z)``.

    Args:
        grad: ``(e, m, c)``; grad_mean: its mean over pixels, ``(e, 1, c)``.
        d: the image ``(b, e k, h, w)`` or ``(b, k, h, w)``, centred; ``p``, ``cp``: ``(e, k, c)``.
        rho, scale: ``(e, 1, c)``.
        average: of BatchNorm; the gradients of ``p`` and the gate are then shares whose mean over ranks is the whole.
    """
    edges, pixels, _ = grad.shape
    rows = _rows(d, d.shape[1] // p.shape[1])
    x = over_ranks(torch.bmm(rows.transpose(1, 2).expand(edges, -1, -1), grad).to(p.dtype).div_(pixels), average)
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
