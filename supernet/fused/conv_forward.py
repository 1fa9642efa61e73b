"""Fused separable convolutions, forward: ReLU, depthwise, pointwise of all edges and candidates that leave one state.

A *plane* is the output of one candidate on one edge before its BatchNorm, ``(m, c)``. One kernel computes all planes
of a state together with their statistics; the second half of a separable convolution normalizes its input as it loads
it. Programs that share a tile of pixels run side by side, so the state is read from memory once. Rows whose gate is 0
are skipped on the device.

Images are channels-last. Storage is float32, bfloat16 or float16, sums are float32; float64 throughout for float64
storage, which Triton's interpreter runs. The definition is ``naive.conv_forward``; the backward pass is in
``conv_backward`` and ``conv_weight_backward``.

Axes: ``r`` row of a launch table, ``m`` pixel of the batch, ``k`` input and ``c`` output channel, ``e`` slot in a
stacked parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.launch import PRECISION, Tile, ceil_div, launch, sum_type, tile_of
from supernet.fused.tables import CONV_GATE, CONV_KIND, CONV_SLOT, CONV_SOURCE, CONV_TARGET, entry
from supernet.fused.tiles import load_norm, offsets_of, pixel_of, pixels_of


@dataclass(frozen=True)
class Kinds:
    """The depthwise convolutions of a launch, which differ in kernel size.

    Attributes:
        sides, dilations: kernel size and dilation of each kind.
        depthwise: stacked weights of each kind, ``(e, k, 1, side, side)``.
        pointwise: stacked weights of each kind, ``(e, c, k, 1, 1)``.
    """

    sides: tuple[int, ...]
    dilations: tuple[int, ...]
    depthwise: tuple[Tensor, ...]
    pointwise: tuple[Tensor, ...]


@triton.jit
def depthwise_tile(
    x, weight, scale, shift, b, h, w, valid, k, inside_k,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, SIDE: tl.constexpr, DILATION: tl.constexpr,
    NORMED: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Return ReLU and depthwise convolution of a tile, ``(m, k)``. ``h``, ``w``: where the middle tap reads."""
    total = tl.zeros((b.shape[0], k.shape[0]), SUM)
    for i in range(SIDE):
        for j in tl.static_range(SIDE):
            hh = h + (i - SIDE // 2) * DILATION
            ww = w + (j - SIDE // 2) * DILATION
            inside = valid & (hh >= 0) & (hh < H) & (ww >= 0) & (ww < W)
            mask = inside[:, None] & inside_k[None, :]
            value = tl.load(x + ((b * H + hh) * W + ww)[:, None] * C + k[None, :], mask=mask, other=0.0).to(SUM)
            if NORMED:
                value = tl.where(mask, value * scale[None, :] + shift[None, :], 0.0)
            tap = tl.load(weight + (k * SIDE + i) * SIDE + j, mask=inside_k, other=0.0).to(SUM)
            total += tl.maximum(value, 0.0) * tap[None, :]
    return total


@triton.jit
def _forward_kernel(
    x, planes, table, gates, mean, rstd, partial, depthwise, pointwise, PIXELS, TILES,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    NORMED: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr,
    M: tl.constexpr, K: tl.constexpr, N: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row, tile = tl.program_id(0), tl.program_id(1)
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    source, target = entry(table, row, CONV_SOURCE), entry(table, row, CONV_TARGET)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, HO, WO)
    n = tl.arange(0, N)
    inside_n = n < C
    if NORMED:
        x += source.to(tl.int64) * PIXELS * C
    out = tl.zeros((M, N), SUM)
    for k0 in range(0, C, K):
        k = k0 + tl.arange(0, K)
        inside_k = k < C
        scale = tl.zeros((K,), SUM)
        shift = tl.zeros((K,), SUM)
        if NORMED:
            scale, shift = load_norm(mean, rstd, source, k, inside_k, C, SUM)
        d = tl.zeros((M, K), SUM)
        p = tl.zeros((K, N), x.dtype.element_ty)
        for which in tl.static_range(len(SIDES)):
            if kind == which:
                weight = depthwise[which] + slot * C * SIDES[which] * SIDES[which]
                d = depthwise_tile(
                    x, weight, scale, shift, b, h * STRIDE, w * STRIDE, valid, k, inside_k, H, W, C,
                    SIDES[which], DILATIONS[which], NORMED, SUM,
                )  # fmt: skip
                p_mask = inside_k[:, None] & inside_n[None, :]
                p_at = pointwise[which] + slot * C * C + n[None, :] * C + k[:, None]
                p = tl.load(p_at, mask=p_mask, other=0.0).to(x.dtype.element_ty)
        out += tl.dot(d.to(x.dtype.element_ty), p, out_dtype=SUM, input_precision=PRECISION)
    y = out.to(planes.dtype.element_ty)
    at, mask = offsets_of(m, valid, n, inside_n, C)
    tl.store(planes + target.to(tl.int64) * PIXELS * C + at, y, mask=mask)
    stored = tl.where(mask, y.to(SUM), 0.0)
    count = tl.minimum(PIXELS - tile * M, M).to(SUM)
    average = tl.sum(stored, 0) / count
    away = tl.where(mask, stored - average[None, :], 0.0)
    to = partial + ((row * TILES + tile) * 2) * C + n
    tl.store(to, average, mask=inside_n)
    tl.store(to + C, tl.sum(away * away, 0), mask=inside_n)


def convs_forward(
    x: Tensor,
    planes: Tensor,
    table: Tensor,
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
    stride: int = 1,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tile]:
    """Compute the planes of a launch.

    Args:
        x: the state, ``(b, h, w, k)``, contiguous; for second halves, ``planes`` itself.
        planes: ``(plane, m, c)``; the rows' targets are written.
        table: ``(r, 6)``, rows as ``supernet.fused.tables.ConvRow``.
        kinds: the weights.
        size: batch, rows and columns of ``x``.
        stride: of the depthwise convolutions.
        statistics: for second halves, mean and 1 / std of every plane, ``(plane, c)``, which normalize the input.
        gates: flattened; rows whose gate is 0 are not computed.

    Returns:
        Mean and sum of squared deviations of each row's tiles, ``(r, tiles, 2, c)``, and the tile size.
    """
    b, h, w = size
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    channels, pixels = planes.shape[2], b * ho * wo
    tile = tile_of(pixels, channels)
    partial = planes.new_empty(len(table), tile.count, 2, channels, dtype=sum_type(planes.dtype))
    mean, rstd = statistics if statistics is not None else (partial, partial)
    launch(
        _forward_kernel, (len(table), tile.count),
        x, planes, table, gates, mean, rstd, partial, kinds.depthwise, kinds.pointwise,
        pixels, tile.count, H=h, W=w, HO=ho, WO=wo, C=channels, STRIDE=stride, NORMED=statistics is not None,
        SIDES=kinds.sides, DILATIONS=kinds.dilations,
        M=tile.m, K=tile.k, N=tile.n, SUM=tile.sums(planes.dtype), PRECISION=PRECISION,
    )  # fmt: skip
    return partial, tile
