"""Fused separable convolutions, backward.

The gradient of a plane is ``a g + b y + s``, BatchNorm's backward as ``supernet.fused.statistics`` prepares it; it is
formed where it is read, never stored. A state's gradient is added up over edges and candidates inside one kernel.
Nothing is added atomically, so the same input gives the same bits.

Axes: as in ``supernet.fused.convs``.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.convs import Kinds, depthwise_tile, pixel_of
from supernet.fused.launch import PRECISION, ceil_div, launch, sum_type, tile_of

SPLITS = 64
"""Into so many parts the pixels are cut where weights' gradients are summed; the parts are added in order."""


@triton.jit
def _plane_gradient(grads, planes, a, b, s, behind, target, m, valid, n, inside_n, C, PIXELS, SUM: tl.constexpr):
    """``a g + b y + s`` of a tile, ``(m, n)``."""
    mask = valid[:, None] & inside_n[None, :]
    at = m[:, None] * C + n[None, :]
    g = tl.load(grads + behind.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
    y = tl.load(planes + target.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
    a_n = tl.load(a + target * C + n, mask=inside_n, other=0.0).to(SUM)
    b_n = tl.load(b + target * C + n, mask=inside_n, other=0.0).to(SUM)
    s_n = tl.load(s + target * C + n, mask=inside_n, other=0.0).to(SUM)
    return tl.where(mask, g * a_n[None, :] + y * b_n[None, :] + s_n[None, :], 0.0)


@triton.jit
def _pointwise_backward_kernel(
    grads, planes, table, gates, a, b, s, out, pointwise, PIXELS,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, N: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient of each depthwise output, ``out[r] = dy p``."""
    row, tile = tl.program_id(0), tl.program_id(1)
    kind, slot = tl.load(table + row * 6), tl.load(table + row * 6 + 1)
    target, behind = tl.load(table + row * 6 + 3), tl.load(table + row * 6 + 5)
    if tl.load(gates + tl.load(table + row * 6 + 4)) == 0:
        return
    m = tile * M + tl.arange(0, M)
    valid = m < PIXELS
    k = tl.arange(0, N)
    inside_k = k < C
    total = tl.zeros((M, N), SUM)
    for n0 in range(0, C, K):
        n = n0 + tl.arange(0, K)
        inside_n = n < C
        dy = _plane_gradient(grads, planes, a, b, s, behind, target, m, valid, n, inside_n, C, PIXELS, SUM)
        p = tl.zeros((K, N), out.dtype.element_ty)
        for which in tl.static_range(len(pointwise)):
            if kind == which:
                p_at = pointwise[which] + slot * C * C + n[:, None] * C + k[None, :]
                p = tl.load(p_at, mask=inside_n[:, None] & inside_k[None, :], other=0.0).to(out.dtype.element_ty)
        total += tl.dot(dy.to(out.dtype.element_ty), p, out_dtype=SUM, input_precision=PRECISION)
    at = out + row.to(tl.int64) * PIXELS * C + m[:, None] * C + k[None, :]
    tl.store(at, total.to(out.dtype.element_ty), mask=valid[:, None] & inside_k[None, :])


@triton.jit
def _transposed(
    d, weight, b, h, w, valid, k, inside_k, HO, WO, C,
    STRIDE: tl.constexpr, SIDE: tl.constexpr, DILATION: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """What the depthwise outputs ``d`` around a tile of input pixels hand back to it, ``(m, k)``."""
    total = tl.zeros((b.shape[0], k.shape[0]), SUM)
    for i in range(SIDE):
        for j in tl.static_range(SIDE):
            hh = h - (i - SIDE // 2) * DILATION
            ww = w - (j - SIDE // 2) * DILATION
            inside = valid & (hh >= 0) & (ww >= 0)
            if STRIDE > 1:
                inside = inside & (hh % STRIDE == 0) & (ww % STRIDE == 0)
                hh = hh // STRIDE
                ww = ww // STRIDE
            inside = inside & (hh < HO) & (ww < WO)
            at = d + ((b * HO + hh) * WO + ww)[:, None] * C + k[None, :]
            value = tl.load(at, mask=inside[:, None] & inside_k[None, :], other=0.0).to(SUM)
            tap = tl.load(weight + (k * SIDE + i) * SIDE + j, mask=inside_k, other=0.0).to(SUM)
            total += value * tap[None, :]
    return total


@triton.jit
def _input_gradient_kernel(
    x, d, table, gates, out, depthwise, H, W, HO, WO, PIXELS, OUTPUTS, ROWS,
    C: tl.constexpr, STRIDE: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr,
    M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Add to ``out`` what all planes of a state hand back to it, behind its ReLU."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m = tile * M + tl.arange(0, M)
    valid = m < PIXELS
    b, h, w = pixel_of(m, H, W)
    k = block * K + tl.arange(0, K)
    inside_k = k < C
    total = tl.zeros((M, K), SUM)
    for row in range(0, ROWS):
        kind, slot = tl.load(table + row * 6), tl.load(table + row * 6 + 1)
        live = tl.load(gates + tl.load(table + row * 6 + 4)) != 0
        for which in tl.static_range(len(SIDES)):
            if (kind == which) & live:
                weight = depthwise[which] + slot * C * SIDES[which] * SIDES[which]
                total += _transposed(
                    d, weight, b, h, w, valid, k, inside_k, HO, WO, C, STRIDE, SIDES[which], DILATIONS[which], SUM
                )
        d += OUTPUTS * C
    mask = valid[:, None] & inside_k[None, :]
    at = m[:, None] * C + k[None, :]
    state = tl.load(x + at, mask=mask, other=0.0)
    before = tl.load(out + at, mask=mask, other=0.0).to(SUM)
    tl.store(out + at, (before + tl.where(state > 0, total, 0.0)).to(out.dtype.element_ty), mask=mask)


@triton.jit
def _half_gradient_kernel(
    d, planes, table, gates, mean, rstd, grads, partial, depthwise, H, W, PIXELS, TILES, FIRST,
    C: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """The gradient behind each first half's BatchNorm, ``grads[FIRST + source]``, and the sums its backward needs."""
    row, tile, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kind, slot, source = tl.load(table + row * 6), tl.load(table + row * 6 + 1), tl.load(table + row * 6 + 2)
    if tl.load(gates + tl.load(table + row * 6 + 4)) == 0:
        return
    m = tile * M + tl.arange(0, M)
    valid = m < PIXELS
    b, h, w = pixel_of(m, H, W)
    k = block * K + tl.arange(0, K)
    inside_k = k < C
    total = tl.zeros((M, K), SUM)
    for which in tl.static_range(len(SIDES)):
        if kind == which:
            weight = depthwise[which] + slot * C * SIDES[which] * SIDES[which]
            d_row = d + row.to(tl.int64) * PIXELS * C
            total = _transposed(
                d_row, weight, b, h, w, valid, k, inside_k, H, W, C, 1, SIDES[which], DILATIONS[which], SUM
            )
    mask = valid[:, None] & inside_k[None, :]
    at = m[:, None] * C + k[None, :]
    y = tl.load(planes + source.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
    average = tl.load(mean + source * C + k, mask=inside_k, other=0.0).to(SUM)
    scale = tl.load(rstd + source * C + k, mask=inside_k, other=0.0).to(SUM)
    z = (y - average[None, :]) * scale[None, :]
    g = tl.where(mask & (z > 0), total, 0.0).to(grads.dtype.element_ty)
    tl.store(grads + (FIRST + source).to(tl.int64) * PIXELS * C + at, g, mask=mask)
    g = g.to(SUM)
    to = partial + ((row * TILES + tile) * 2) * C + k
    tl.store(to, tl.sum(g, 0), mask=inside_k)
    tl.store(to + C, tl.sum(g * z, 0), mask=inside_k)


@triton.jit
def _pointwise_weight_kernel(
    x, grads, planes, table, gates, mean, rstd, a, b_, s, partial, depthwise, H, W, HO, WO, PIXELS, TILES, SPLITS,
    C: tl.constexpr, STRIDE: tl.constexpr, NORMED: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr,
    M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Each split's part of the pointwise weights' gradient, ``dy' d``; the depthwise outputs are computed again."""
    row, split, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kind, slot = tl.load(table + row * 6), tl.load(table + row * 6 + 1)
    source, target = tl.load(table + row * 6 + 2), tl.load(table + row * 6 + 3)
    behind = tl.load(table + row * 6 + 5)
    blocks = tl.cdiv(C, K)
    n = (block // blocks) * K + tl.arange(0, K)
    k = (block % blocks) * K + tl.arange(0, K)
    inside_n, inside_k = n < C, k < C
    total = tl.zeros((K, K), SUM)
    live = tl.load(gates + tl.load(table + row * 6 + 4)) != 0
    scale = tl.zeros((K,), SUM)
    shift = tl.zeros((K,), SUM)
    if NORMED:
        x += source.to(tl.int64) * PIXELS * C
        scale = tl.load(rstd + source * C + k, mask=inside_k, other=0.0).to(SUM)
        shift = -tl.load(mean + source * C + k, mask=inside_k, other=0.0).to(SUM) * scale
    if live:
        for tile in range(split, TILES, SPLITS):
            m = tile * M + tl.arange(0, M)
            valid = m < PIXELS
            b, h, w = pixel_of(m, HO, WO)
            d = tl.zeros((M, K), SUM)
            for which in tl.static_range(len(SIDES)):
                if kind == which:
                    weight = depthwise[which] + slot * C * SIDES[which] * SIDES[which]
                    d = depthwise_tile(
                        x, weight, scale, shift, b, h * STRIDE, w * STRIDE, valid, k, inside_k, H, W, C,
                        SIDES[which], DILATIONS[which], NORMED, SUM,
                    )  # fmt: skip
            dy = _plane_gradient(grads, planes, a, b_, s, behind, target, m, valid, n, inside_n, C, PIXELS, SUM)
            left, right = tl.trans(dy.to(x.dtype.element_ty)), d.to(x.dtype.element_ty)
            total += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
    at = partial + ((row * SPLITS + split) * C + n)[:, None] * C + k[None, :]
    tl.store(at, total, mask=inside_n[:, None] & inside_k[None, :])


@triton.jit
def _depthwise_weight_kernel(
    x, d, table, gates, mean, rstd, partial, H, W, HO, WO, PIXELS, TILES, SPLITS,
    C: tl.constexpr, STRIDE: tl.constexpr, NORMED: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr,
    TAPS: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Each split's part of the depthwise weights' gradient: for each tap, the products of input and ``d``, summed."""
    row, split, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kind, source = tl.load(table + row * 6), tl.load(table + row * 6 + 2)
    k = block * K + tl.arange(0, K)
    inside_k = k < C
    live = tl.load(gates + tl.load(table + row * 6 + 4)) != 0
    scale = tl.zeros((K,), SUM)
    shift = tl.zeros((K,), SUM)
    if NORMED:
        x += source.to(tl.int64) * PIXELS * C
        scale = tl.load(rstd + source * C + k, mask=inside_k, other=0.0).to(SUM)
        shift = -tl.load(mean + source * C + k, mask=inside_k, other=0.0).to(SUM) * scale
    d += row.to(tl.int64) * PIXELS * C
    for which in tl.static_range(len(SIDES)):
        if kind == which:
            for tap in range(SIDES[which] * SIDES[which]):
                total = tl.zeros((M, K), SUM)
                if live:
                    for tile in range(split, TILES, SPLITS):
                        m = tile * M + tl.arange(0, M)
                        valid = m < PIXELS
                        b, h, w = pixel_of(m, HO, WO)
                        hh = h * STRIDE + (tap // SIDES[which] - SIDES[which] // 2) * DILATIONS[which]
                        ww = w * STRIDE + (tap % SIDES[which] - SIDES[which] // 2) * DILATIONS[which]
                        inside = valid & (hh >= 0) & (hh < H) & (ww >= 0) & (ww < W)
                        mask = inside[:, None] & inside_k[None, :]
                        at = x + ((b * H + hh) * W + ww)[:, None] * C + k[None, :]
                        value = tl.load(at, mask=mask, other=0.0).to(SUM)
                        if NORMED:
                            value = tl.where(mask, value * scale[None, :] + shift[None, :], 0.0)
                        here = valid[:, None] & inside_k[None, :]
                        grad = tl.load(d + m[:, None] * C + k[None, :], mask=here, other=0.0).to(SUM)
                        total += tl.maximum(value, 0.0) * grad
                at = partial + ((row * SPLITS + split) * TAPS + tap) * C + k
                tl.store(at, tl.sum(total, 0), mask=inside_k)


def convs_backward(
    x: Tensor,
    planes: Tensor,
    grads: Tensor,
    coefficients: Tensor,
    table: Tensor,
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
    stride: int = 1,
    statistics: tuple[Tensor, Tensor] | None = None,
    weights: bool = True,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Gradients of a launch with respect to its depthwise outputs and, if asked for, its weights.

    Args:
        grads: what arrives behind the planes, ``(gradient, m, c)``; coefficients: ``(3, plane, c)``.
        weights: whether the weights' gradients are wanted.
        Others as in ``convs_forward``.

    Returns:
        The gradient of each row's depthwise output, ``(r, m, c)``; of each kind's depthwise and pointwise weights.
    """
    b, h, w = size
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    channels, pixels, rows = planes.shape[2], b * ho * wo, len(table)
    tile = tile_of(pixels, channels)
    a, slope, constant = coefficients
    d = planes.new_empty(rows, pixels, channels)
    launch(
        _pointwise_backward_kernel, (rows, tile.count),
        grads, planes, table, gates, a, slope, constant, d, kinds.pointwise, pixels,
        C=channels, M=tile.m, K=tile.k, N=tile.n, SUM=tile.sums(d.dtype), PRECISION=PRECISION,
    )  # fmt: skip
    if not weights:
        return d, [], []
    sums = sum_type(d.dtype)
    splits = min(SPLITS, tile.count)
    blocks = ceil_div(channels, tile.k)
    mean, rstd = statistics if statistics is not None else (coefficients, coefficients)
    options = dict(
        C=channels, STRIDE=stride, NORMED=statistics is not None, SIDES=kinds.sides,
        DILATIONS=kinds.dilations, M=tile.m, K=tile.k, SUM=tile.sums(d.dtype),
    )  # fmt: skip
    pointwise = d.new_empty(rows, splits, channels, channels, dtype=sums)
    launch(
        _pointwise_weight_kernel, (rows, splits, blocks * blocks),
        x, grads, planes, table, gates, mean, rstd, a, slope, constant, pointwise, kinds.depthwise,
        h, w, ho, wo, pixels, tile.count, splits, PRECISION=PRECISION, **options,
    )  # fmt: skip
    taps = max(kinds.sides) ** 2
    depthwise = d.new_empty(rows, splits, taps, channels, dtype=sums)
    launch(
        _depthwise_weight_kernel, (rows, splits, blocks),
        x, d, table, gates, mean, rstd, depthwise, h, w, ho, wo, pixels, tile.count, splits, TAPS=taps,
        **options
    )  # fmt: skip
    pointwise_grads, depthwise_grads, begin = [], [], 0
    for side, weight in zip(kinds.sides, kinds.depthwise):
        own = slice(begin, begin := begin + len(weight))
        pointwise_grads.append(pointwise[own].sum(1)[..., None, None].to(weight.dtype))
        taps_sum = depthwise[own, :, : side * side].sum(1).transpose(1, 2)
        depthwise_grads.append(taps_sum.reshape(weight.shape).to(weight.dtype))
    return d, depthwise_grads, pointwise_grads


def input_gradient(x: Tensor, d: Tensor, out: Tensor, table: Tensor, kinds: Kinds, gates: Tensor, stride: int) -> None:
    """Add to ``out``, ``(b, h, w, c)``, what the rows' depthwise outputs hand back to the state ``x``."""
    b, h, w, channels = x.shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    tile = tile_of(b * h * w, channels, 1024 if channels % 8 else 2048)
    launch(
        _input_gradient_kernel, (tile.count, ceil_div(channels, tile.k)),
        x, d, table, gates, out, kinds.depthwise,
        h, w, ho, wo, b * h * w, b * ho * wo, len(table),
        C=channels, STRIDE=stride, SIDES=kinds.sides, DILATIONS=kinds.dilations,
        M=tile.m, K=tile.k, SUM=tile.sums(out.dtype),
    )  # fmt: skip


def half_gradient(
    d: Tensor,
    planes: Tensor,
    statistics: tuple[Tensor, Tensor],
    grads: Tensor,
    first: int,
    table: Tensor,
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
) -> Tensor:
    """Write the gradient behind each first half's BatchNorm, ``grads[first + plane]``.

    Returns:
        Each tile's sums of that gradient ``g`` and of ``g z``, ``(r, tiles, 2, c)``.
    """
    b, h, w = size
    channels, pixels = planes.shape[2], b * h * w
    tile = tile_of(pixels, channels)
    partial = planes.new_empty(len(table), tile.count, 2, channels, dtype=sum_type(planes.dtype))
    launch(
        _half_gradient_kernel, (len(table), tile.count, ceil_div(channels, tile.k)),
        d, planes, table, gates, *statistics, grads, partial, kinds.depthwise,
        h, w, pixels, tile.count, first,
        C=channels, SIDES=kinds.sides, DILATIONS=kinds.dilations, M=tile.m, K=tile.k, SUM=tile.sums(d.dtype),
    )  # fmt: skip
    return partial
