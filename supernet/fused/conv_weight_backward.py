"""Fused separable convolutions, backward: gradients of the pointwise and depthwise weights.

The pixels are cut into splits; each program sums one split of one row, and the splits are added in order, so the same
input gives the same bits. The definition is ``naive.conv_weight_gradients``.

Axes: as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.conv_backward import plane_gradient
from supernet.fused.conv_forward import Kinds, depthwise_tile
from supernet.fused.launch import PRECISION, ceil_div, launch, sum_type, tile_of
from supernet.fused.tables import CONV_BEHIND, CONV_GATE, CONV_KIND, CONV_SLOT, CONV_SOURCE, CONV_TARGET, entry
from supernet.fused.tiles import channels_of, load_norm, pixel_of, pixels_of

SPLITS = 64
"""Largest number of splits of the pixels."""


@triton.jit
def _pointwise_weight_kernel(
    x, grads, planes, table, gates, mean, rstd, a, b_, s, partial, depthwise, H, W, HO, WO, PIXELS, TILES, SPLITS,
    C: tl.constexpr, STRIDE: tl.constexpr, NORMED: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr,
    M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum ``dy' d`` over a split: the pointwise weights' gradient; the depthwise outputs are recomputed."""
    row, split, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    source, target = entry(table, row, CONV_SOURCE), entry(table, row, CONV_TARGET)
    behind = entry(table, row, CONV_BEHIND)
    blocks = tl.cdiv(C, K)
    n = (block // blocks) * K + tl.arange(0, K)
    k = (block % blocks) * K + tl.arange(0, K)
    inside_n, inside_k = n < C, k < C
    total = tl.zeros((K, K), SUM)
    live = tl.load(gates + entry(table, row, CONV_GATE)) != 0
    scale = tl.zeros((K,), SUM)
    shift = tl.zeros((K,), SUM)
    if NORMED:
        x += source.to(tl.int64) * PIXELS * C
        scale, shift = load_norm(mean, rstd, source, k, inside_k, C, SUM)
    if live:
        for tile in range(split, TILES, SPLITS):
            m, valid = pixels_of(tile, PIXELS, M)
            b, h, w = pixel_of(m, HO, WO)
            d = tl.zeros((M, K), SUM)
            for which in tl.static_range(len(SIDES)):
                if kind == which:
                    weight = depthwise[which] + slot * C * SIDES[which] * SIDES[which]
                    d = depthwise_tile(
                        x, weight, scale, shift, b, h * STRIDE, w * STRIDE, valid, k, inside_k, H, W, C,
                        SIDES[which], DILATIONS[which], NORMED, SUM,
                    )  # fmt: skip
            dy = plane_gradient(grads, planes, a, b_, s, behind, target, m, valid, n, inside_n, C, PIXELS, SUM)
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
    """Sum, for each tap, the products of input and ``d`` over a split: the depthwise weights' gradient."""
    row, split, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kind, source = entry(table, row, CONV_KIND), entry(table, row, CONV_SOURCE)
    k, inside_k = channels_of(block, C, K)
    live = tl.load(gates + entry(table, row, CONV_GATE)) != 0
    scale = tl.zeros((K,), SUM)
    shift = tl.zeros((K,), SUM)
    if NORMED:
        x += source.to(tl.int64) * PIXELS * C
        scale, shift = load_norm(mean, rstd, source, k, inside_k, C, SUM)
    d += row.to(tl.int64) * PIXELS * C
    for which in tl.static_range(len(SIDES)):
        if kind == which:
            for tap in range(SIDES[which] * SIDES[which]):
                total = tl.zeros((M, K), SUM)
                if live:
                    for tile in range(split, TILES, SPLITS):
                        m, valid = pixels_of(tile, PIXELS, M)
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


def conv_weight_gradients(
    x: Tensor,
    d: Tensor,
    planes: Tensor,
    grads: Tensor,
    coefficients: Tensor,
    table: Tensor,
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
    stride: int = 1,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients of each kind's depthwise and pointwise weights, in the weights' shapes.

    Args:
        d: gradients of the depthwise outputs, ``(r, m, c)`` (``depthwise_output_gradient``).
        grads: the gradients that arrive behind the planes' BatchNorms, ``(gradient, m, c)``.
        coefficients: ``a``, ``b`` and ``s`` of every plane, ``(3, plane, c)``.
        x, planes, table, kinds, gates, size, stride, statistics: as in ``convs_forward``.
    """
    _, h, w = size
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    rows, pixels, channels = d.shape
    tile, sums = tile_of(pixels, channels), sum_type(d.dtype)
    splits, blocks = min(SPLITS, tile.count), ceil_div(channels, tile.k)
    a, slope, constant = coefficients
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
    depthwise_grads, pointwise_grads, begin = [], [], 0
    for side, weight in zip(kinds.sides, kinds.depthwise):
        own = slice(begin, begin := begin + len(weight))
        pointwise_grads.append(pointwise[own].sum(1)[..., None, None].to(weight.dtype))
        taps_sum = depthwise[own, :, : side * side].sum(1).transpose(1, 2)
        depthwise_grads.append(taps_sum.reshape(weight.shape).to(weight.dtype).contiguous())
    return depthwise_grads, pointwise_grads
