"""Kernels of ReLU, 1x1 convolution and BatchNorm, forward.

A convolution of stride 1 has one part; a factorized reduction has two, whose outputs lie side by side: the second reads
the pixels one row and one column further, those beyond the image as zeros. A *column* is a block of output channels of
one part. The last program of a column combines the tiles' means and squared deviations.

Axes: ``m`` pixel of the batch, of the output; ``k`` input channel; ``n`` output channel of a part; ``c`` of all parts;
``t`` tile.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.batch_norm import statistics_of_tiles, tiles_at_once
from supernet.fused.dense import precision_of
from supernet.fused.launch import block_of, ceil_div, launch, sum_type, triton_type, zero_counters
from supernet.fused.layers.shape import Shape, tile_of, warps_of
from supernet.fused.tiles import channels_of, is_last, load_channels, offsets_of, pixel_of, pixels_of, rectified
from supernet.ops import BatchNorm


@triton.jit
def pixels_read(m, part, H, W, HO, WO, STRIDE: tl.constexpr):
    """Return the flat indices of the pixels that a part reads for those of its output, and which of them exist."""
    if STRIDE == 1:
        return m, m >= 0
    b, h, w = pixel_of(m, HO, WO)
    h, w = h * STRIDE + part, w * STRIDE + part
    return (b * H + h) * W + w, (h < H) & (w < W)


@triton.jit
def columns_of(column, SPLIT: tl.constexpr, C: tl.constexpr, N: tl.constexpr):
    """Return the part of a column, its channels, ``(n,)``, and which of them exist.

    ``SPLIT`` is the number of channels of the first part.
    """
    BLOCKS: tl.constexpr = ((SPLIT if 2 * SPLIT > C else C - SPLIT) + N - 1) // N
    part = column // BLOCKS
    n = column % BLOCKS * N + tl.arange(0, N)
    return part, n, n < tl.where(part == 0, SPLIT, C - SPLIT)


@triton.jit
def load_weights(weights, part, at, mask, TYPE: tl.constexpr):
    """Return a block of a part's weights, rounded to ``TYPE``."""
    block = tl.load(weights[0] + at, mask=mask & (part == 0), other=0.0)
    for other in tl.static_range(1, len(weights)):
        block += tl.load(weights[other] + at, mask=mask & (part == other), other=0.0)
    return block.to(TYPE)


@triton.jit
def _finish_statistics(
    partial, mean, rstd, running_mean, running_var, c, inside, PIXELS, TILES,
    C: tl.constexpr, EPS: tl.constexpr, MOMENTUM: tl.constexpr, M: tl.constexpr, N: tl.constexpr, T: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    """Write mean and 1 / std of all tiles, and move the running statistics towards them."""
    average, squares = statistics_of_tiles(partial, c, inside, PIXELS, TILES, C, M, T, N, SUM)
    tl.store(mean + c, average, mask=inside)
    tl.store(rstd + c, 1 / tl.sqrt(squares / PIXELS + EPS), mask=inside)
    variance = squares / tl.maximum(PIXELS - 1, 1)
    before = load_channels(running_mean, 0, c, inside, C, SUM)
    tl.store(running_mean + c, before + MOMENTUM * (average - before), mask=inside)
    before = load_channels(running_var, 0, c, inside, C, SUM)
    tl.store(running_var + c, before + MOMENTUM * (variance - before), mask=inside)


@triton.jit
def _product_kernel(
    x, weights, y, partial, mean, rstd, running_mean, running_var, counters, PIXELS, TILES, H, W, HO, WO,
    CIN: tl.constexpr, C: tl.constexpr, SPLIT: tl.constexpr, STRIDE: tl.constexpr, TRAINING: tl.constexpr,
    EPS: tl.constexpr, MOMENTUM: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, T: tl.constexpr,
    SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write a tile of ``y``; the last program of a column writes mean and 1 / std of the batch, the first one those
    that run, where these are used."""
    tile, column = tl.program_id(0), tl.program_id(1)
    part, n, inside_n = columns_of(column, SPLIT, C, N)
    c = part * SPLIT + n
    m, valid = pixels_of(tile, PIXELS, M)
    pixel, exists = pixels_read(m, part, H, W, HO, WO, STRIDE)
    total = tl.zeros((M, N), SUM)
    for k0 in range(0, CIN, K):
        k = k0 + tl.arange(0, K)
        at, mask = offsets_of(pixel, valid & exists, k, k < CIN, CIN)
        left = rectified(tl.load(x + at, mask=mask, other=0.0))
        at, mask = offsets_of(n, inside_n, k, k < CIN, CIN)
        right = load_weights(weights, part, at, mask, left.dtype)
        total += tl.dot(left, tl.trans(right), out_dtype=SUM, input_precision=PRECISION)
    stored = total.to(y.dtype.element_ty)
    at, mask = offsets_of(m, valid, c, inside_n, C)
    tl.store(y + at, stored, mask=mask)
    if TRAINING:
        values = tl.where(mask, stored.to(SUM), 0.0)
        average = tl.sum(values, 0) / tl.minimum(PIXELS - tile * M, M).to(SUM)
        away = tl.where(mask, values - average[None, :], 0.0)
        to = partial + tile * 2 * C + c
        tl.store(to, average, mask=inside_n)
        tl.store(to + C, tl.sum(away * away, 0), mask=inside_n)
        if is_last(counters + column, TILES):
            _finish_statistics(
                partial, mean, rstd, running_mean, running_var, c, inside_n, PIXELS, TILES, C, EPS, MOMENTUM, M, N, T,
                SUM,
            )  # fmt: skip
    elif tile == 0:
        tl.store(mean + c, load_channels(running_mean, 0, c, inside_n, C, SUM), mask=inside_n)
        variance = load_channels(running_var, 0, c, inside_n, C, SUM)
        tl.store(rstd + c, 1 / tl.sqrt(variance + EPS), mask=inside_n)


@triton.jit
def _scaled_kernel(
    y, out, mean, rstd, scale, shift, PIXELS,
    C: tl.constexpr, AFFINE: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write the normalized plane, with BatchNorm's scale and shift where it has them."""
    m, valid = pixels_of(tl.program_id(0), PIXELS, M)
    k, inside = channels_of(tl.program_id(1), C, K)
    at, mask = offsets_of(m, valid, k, inside, C)
    z = tl.load(y + at, mask=mask, other=0.0).to(SUM) - load_channels(mean, 0, k, inside, C, SUM)[None, :]
    z = z * load_channels(rstd, 0, k, inside, C, SUM)[None, :]
    if AFFINE:
        z = (
            z * load_channels(scale, 0, k, inside, C, SUM)[None, :]
            + load_channels(shift, 0, k, inside, C, SUM)[None, :]
        )
    tl.store(out + at, z.to(out.dtype.element_ty), mask=mask)


def product(
    x: Tensor,
    weights: tuple[Tensor, ...],
    plane: Tensor,
    statistics: tuple[Tensor, Tensor],
    running: tuple[Tensor, Tensor],
    training: bool,
) -> None:
    """Write ``W relu(x)`` and its statistics.

    Args:
        x: ``(b, h, w, k)``, contiguous.
        weights: of each part, ``(n, k, 1, 1)``, contiguous.
        plane: ``(m, c)``, written.
        statistics: mean and 1 / std, ``(c,)`` each, written.
        running: running mean and variance, ``(c,)`` each; moved in training, else they are the statistics.
    """
    shape = Shape.of(x, weights)
    m, (n, k) = tile_of(shape.pixels, x.dtype), shape.blocks(x.dtype)
    tiles, columns = ceil_div(shape.pixels, m), shape.columns(n)
    partial = plane.new_empty(tiles, 2, shape.channels, dtype=sum_type(plane.dtype))
    launch(
        _product_kernel, (tiles, columns),
        x, weights, plane, partial, *statistics, *running, zero_counters(x.device, columns), shape.pixels, tiles,
        *shape.sizes, CIN=shape.inputs, C=shape.channels, SPLIT=shape.split, STRIDE=shape.stride, TRAINING=training,
        EPS=BatchNorm.eps, MOMENTUM=BatchNorm.momentum, M=m, N=n, K=k, T=tiles_at_once(tiles, n),
        SUM=triton_type(partial.dtype), PRECISION=precision_of(x.dtype), warps=warps_of(tiles * columns, x.dtype),
    )  # fmt: skip


def scaled(plane: Tensor, out: Tensor, statistics: tuple[Tensor, Tensor], affine: tuple[Tensor, Tensor] | None) -> None:
    """Write the normalized plane.

    Args:
        plane: ``(m, c)``; out: of as many values, contiguous, written.
        statistics: mean and 1 / std, ``(c,)`` each.
        affine: BatchNorm's scale and shift, ``(c,)`` each, where it has them.
    """
    pixels, channels = plane.shape
    k = block_of(channels)
    m = 2048 // k
    launch(
        _scaled_kernel, (ceil_div(pixels, m), ceil_div(channels, k)),
        plane, out, *statistics, *(affine or statistics), pixels, C=channels, AFFINE=affine is not None, M=m, K=k,
        SUM=triton_type(sum_type(plane.dtype)),
    )  # fmt: skip
