"""Linear maps followed by BatchNorm, and their gated sum, as autograd functions of the batched backend.

A pointwise convolution ``p``, the BatchNorm behind it and the gate are one linear map of the depthwise output ``d``.
BatchNorm's statistics of ``y = d p`` follow from the covariance of ``d``: ``var(y) = diag(p' cov(d) p)``. So ``y`` is
never stored, and the sum over candidates accumulates inside the matrix products, forward and backward.

In memory, images are channels-last with channels ordered ``(e c)``, so that ``(e, m, c)`` is a view.
Differentiable once.

Axes: ``e`` edge, ``o`` candidate, ``b`` batch, ``h w`` space, ``m`` pixel of the batch (``b h w``), ``k`` input and
``c`` output channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from supernet.mixed.active import RunningStats
from supernet.ops import Average, BatchNorm, over_ranks


def image_rows(x: Tensor, edges: int) -> Tensor:
    """``(b, e c, h, w) -> (e, m, c)``, a view where the image is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, edges, x.shape[1] // edges).transpose(0, 1)


def rows_image(rows: Tensor, like: Tensor) -> Tensor:
    """``(e, m, c) -> (b, e c, h, w)``, channels-last, with the batch and size of ``like``."""
    b, _, h, w = like.shape
    return rows.transpose(0, 1).reshape(b, h, w, -1).permute(0, 3, 1, 2)


def centred(x: Tensor, average: Average | None) -> tuple[Tensor, Tensor]:
    """Subtract each channel's mean from ``(b, c, h, w)``, in place, and return it as well, ``(c,)``.

    Only for what enters BatchNorm. It would remove the mean anyhow, so the gradient passes unchanged; and the
    covariance of centred values is more exact.

    Args:
        x: the image; it is changed.
        average: of BatchNorm, where statistics are taken over all processes.
    """
    return _Centred.apply(x, average)


def batch_norm_relu(d: Tensor, p: Tensor, mean: Tensor, running: RunningStats) -> Tensor:
    """Return ``relu(BatchNorm(d p))``, ``(b, e c, h, w)``: the first half of a separable convolution from ``d`` on.

    Args:
        d: ``(b, e k, h, w)``, centred.
        p: ``(e, k, c)``.
        mean: of each channel, subtracted from ``d``, ``(e k,)``.
        running: of the BatchNorm; updated.
    """
    return _BatchNormReLU.apply(d, p, mean, running)


class Term(NamedTuple):
    """A candidate's term of the gated sum: ``gate * BatchNorm(d p)``; ``gate * d`` without ``p``.

    Attributes:
        d: ``(b, e k, h, w)``, or ``(b, k, h, w)`` where all edges share it; centred where there is ``p``.
        gate: ``(e,)``.
        edge_index: the edges that have the term, ``None`` for all.
        p: ``(e, k, c)``.
        mean: of each channel, subtracted from ``d``.
        running: of the BatchNorm; updated.
    """

    d: Tensor
    gate: Tensor
    edge_index: Tensor | None
    p: Tensor | None = None
    mean: Tensor | None = None
    running: RunningStats | None = None


def gated_sum(terms: Sequence[Term], edges: int) -> Sequence[Tensor]:
    """Return the sum of the terms for each of ``edges`` edges, ``(b, c, h, w)``."""
    ds, gates, edge_indices, ps, means, running = zip(*terms)
    return _GatedSum.apply(edges, means, running, edge_indices, *ds, *ps, *gates)


class _Centred(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, average: Average | None) -> tuple[Tensor, Tensor]:
        mean = over_ranks(x.mean((0, 2, 3)), average)
        x.sub_(mean[:, None, None])
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable(mean)
        return x, mean

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: None) -> tuple[Tensor, None]:
        return grad, None


class _BatchNormReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, d: Tensor, p: Tensor, mean: Tensor, running: RunningStats) -> Tensor:
        rows = image_rows(d, len(p))
        cp, rho = _moments(rows, p, mean, running)
        y = torch.bmm(rows, (p * rho).to(d.dtype))
        h = y.new_empty(y.shape[1], y.shape[0], y.shape[2])
        torch.clamp_min(y.transpose(0, 1), 0, out=h)  # the change of layout needs no pass of its own
        h = rows_image(h.transpose(0, 1), d)
        ctx.save_for_backward(d, p, cp, rho, h)
        ctx.average = running.norm.average
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        d, p, cp, rho, h = ctx.saved_tensors
        need_d, need_p, *_ = ctx.needs_input_grad
        grad = image_rows(torch.ops.aten.threshold_backward(grad, h, 0), len(p))
        grad_d, grad_p, _ = _linear_backward(
            grad,
            over_ranks(grad.mean(1, keepdim=True), ctx.average),
            d=d,
            p=p,
            cp=cp,
            rho=rho,
            scale=rho,
            average=ctx.average,
            need_d=need_d,
            need_p=need_p,
        )
        return grad_d, grad_p, None, None


class _GatedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        edges: int,
        means: Sequence[Tensor | None],
        all_running: Sequence[RunningStats | None],
        edge_indices: Sequence[Tensor | None],
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """``tensors``: ``d`` of all terms, then ``p`` of all, then their gates."""
        ds, ps, gates = _thirds(tensors)
        b, _, h, w = ds[0].shape
        channels = next((p.shape[2] for p in ps if p is not None), ds[0].shape[1])
        shape = edges, b * h * w, channels
        total, keep = (ds[0].new_empty(shape), 0) if edge_indices[0] is None else (ds[0].new_zeros(shape), 1)
        saved: list[Tensor | None] = []
        for d, p, gate, mean, running, index in zip(ds, ps, gates, means, all_running, edge_indices):
            part = total if index is None else total[index]
            if p is None:
                pixels = d.permute(0, 2, 3, 1).reshape(1, -1)
                part.view(len(gate), -1).addmm_(gate[:, None].to(d.dtype), pixels, beta=keep)
                saved += [gate, d, None, None, None]
            else:
                rows = image_rows(d, d.shape[1] // p.shape[1])
                cp, rho = _moments(rows, p, mean, running)
                q = (p * rho * gate[:, None, None]).to(d.dtype)
                part.baddbmm_(rows.expand(len(gate), -1, -1), q, beta=keep)
                saved += [gate, d, p, cp, rho]
            if index is not None:
                total[index] = part
            keep = 1
        ctx.save_for_backward(*saved)
        ctx.edge_indices = edge_indices
        ctx.average = next((running.norm.average for running in all_running if running), None)
        return tuple(rows_image(rows[None], ds[0]) for rows in total.unbind(0))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        total = torch.cat([image_rows(g, 1) for g in grads])
        total_mean = over_ranks(total.mean(1, keepdim=True), ctx.average)
        need_d, need_p, _ = _thirds(ctx.needs_input_grad[4:])
        grad_ds: list[Tensor | None] = []
        grad_ps: list[Tensor | None] = []
        grad_gates: list[Tensor] = []
        for o, index in enumerate(ctx.edge_indices):
            gate, d, p, cp, rho = saved[5 * o : 5 * o + 5]
            grad, grad_mean = (total, total_mean) if index is None else (total[index], total_mean[index])
            if p is None:
                pixels = d.permute(0, 2, 3, 1).reshape(-1, 1)
                grad_gates.append(torch.mm(grad.flatten(1), pixels)[:, 0].to(gate.dtype))
                flat = torch.mm(gate[None].to(d.dtype), grad.flatten(1))
                grad_ds.append(rows_image(flat.view(1, *grad.shape[1:]), d))
                grad_ps.append(None)
            else:
                grad_d, grad_p, grad_gate = _linear_backward(
                    grad,
                    grad_mean,
                    d=d,
                    p=p,
                    cp=cp,
                    rho=rho,
                    scale=rho * gate[:, None, None],
                    average=ctx.average,
                    need_d=need_d[o],
                    need_p=need_p[o],
                )
                grad_ds.append(grad_d)
                grad_ps.append(grad_p)
                grad_gates.append(grad_gate)
        return None, None, None, None, *grad_ds, *grad_ps, *grad_gates


def _thirds(items: tuple) -> tuple[tuple, tuple, tuple]:
    count = len(items) // 3
    return items[:count], items[count : 2 * count], items[2 * count :]


def _moments(d: Tensor, p: Tensor, mean: Tensor, running: RunningStats) -> tuple[Tensor, Tensor]:
    """``cov(d) p``, ``(e, k, c)``, and ``1 / std(d p)``, ``(e, 1, c)``; updates the running statistics of ``d p``.

    ``d`` is ``(e, m, k)`` or ``(1, m, k)``, centred by subtracting ``mean``.
    """
    pixels = d.shape[1]
    exact = d.to(p.dtype)
    covariance = over_ranks(torch.bmm(exact.transpose(1, 2), exact).div_(pixels), running.norm.average)
    pixels *= running.norm.average.ranks if running.norm.average else 1
    cp = torch.matmul(covariance, p)
    variance = (cp * p).sum(1, keepdim=True)
    mean = torch.matmul(mean.to(p.dtype).view(len(d), 1, -1), p)
    running.update(mean[:, 0], variance[:, 0] * (pixels / max(pixels - 1, 1)))
    return cp, (variance + BatchNorm.eps).rsqrt()


def _linear_backward(
    grad: Tensor,
    grad_mean: Tensor,
    *,
    d: Tensor,
    p: Tensor,
    cp: Tensor,
    rho: Tensor,
    scale: Tensor,
    average: Average | None,
    need_d: bool,
    need_p: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """Gradients of ``scale / rho * z``, ``z = BatchNorm(d p)``, with respect to ``d``, ``p`` and the gate in ``scale``.

    BatchNorm's backward is ``dy = scale (g - mean(g) - z mean(g z))``. As ``z`` is linear in ``d``, ``dd = dy p'`` is
    a product with ``g``, a product with ``d`` and a constant row; and ``mean(g z)`` follows from ``x = d' g / m``,
    which is the main term of the weight's gradient too. The gate's gradient is ``m sum_c mean(g z)``.

    Args:
        grad: ``(e, m, c)``; grad_mean: its mean over pixels, ``(e, 1, c)``.
        d: the image ``(b, e k, h, w)`` or ``(b, k, h, w)``, centred; ``p``, ``cp``: ``(e, k, c)``.
        rho, scale: ``(e, 1, c)``.
        average: of BatchNorm. The mean over ranks of the gradients of ``p`` and the gate is then that of all images.
    """
    edges, pixels, _ = grad.shape
    rows = image_rows(d, d.shape[1] // p.shape[1])
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
        grad_d = rows_image(product, d)
    if need_p:
        grad_p = (x - cp * (rho * gz)).mul_(scale).mul_(pixels)
    return grad_d, grad_p, gz.sum((1, 2)) * pixels
