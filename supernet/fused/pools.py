"""Fused 3x3 pooling: maximum and average of a state from one read, with the statistics of both.

Pools have no parameters, so all edges that leave a state share them, and their statistics, which the last program of a
launch finishes. The position of each maximum in its window is kept in a byte for the backward pass, which gathers: each
pixel reads the nine windows that contain it. Ties go to the first pixel of the window in row-major order, as in
PyTorch. The definitions are ``naive.pools`` and ``naive.pools_backward``.

Axes: ``m`` pixel of the batch, ``c`` channel; pool 0 is the maximum, pool 1 the average.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.batch_norm import statistics_of_tiles, store_statistics, tiles_at_once
from supernet.fused.launch import blocks_of, ceil_div, launch, many_tiles_of, sum_type
from supernet.fused.tables import COLUMNS, CONV_GATE, CONV_KIND, CONV_TARGET
from supernet.fused.tiles import channels_of, is_last, offsets_of, pixel_of, pixels_of
from supernet.ops import BatchNorm


@triton.jit
def _finish(
    partial, table, gates, mean, rstd, variances, k, inside_k, PIXELS, TILES, ROWS, DEGREES, EPS,
    C: tl.constexpr, M: tl.constexpr, T: tl.constexpr, R: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write the statistics of every row's pool from those of the tiles."""
    row = tl.arange(0, R)
    known = row < ROWS
    kinds = tl.load(table + row * COLUMNS + CONV_KIND, mask=known, other=-1)
    targets = tl.load(table + row * COLUMNS + CONV_TARGET, mask=known, other=0)
    gate = tl.load(gates + tl.load(table + row * COLUMNS + CONV_GATE, mask=known, other=0), mask=known, other=0.0)
    at = targets[:, None] * C + k[None, :]
    for kind in range(2):
        first = partial + kind * TILES * 2 * C
        average, squares = statistics_of_tiles(first, k, inside_k, PIXELS, TILES, C, M, T, K, SUM)
        own = ((kinds == kind) & (gate != 0))[:, None] & inside_k[None, :]
        store_statistics(at, average[None, :], squares[None, :], mean, rstd, variances, own, PIXELS, DEGREES, EPS)


@triton.jit
def _share(h, H, STRIDE: tl.constexpr, SUM: tl.constexpr):
    """Return 1 / the number of rows of the image in the windows of row ``h``; the same for columns."""
    return 1 / tl.maximum(tl.minimum(h * STRIDE + 1, H - 1) - tl.maximum(h * STRIDE - 1, 0) + 1, 1).to(SUM)


@triton.jit
def _pools_kernel(
    x, pools, where, partial, table, gates, counters, mean, rstd, variances, H, W, HO, WO, PIXELS, TILES, ROWS,
    DEGREES, EPS,
    C: tl.constexpr, STRIDE: tl.constexpr, TRAINING: tl.constexpr, M: tl.constexpr, T: tl.constexpr, R: tl.constexpr,
    K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Compute a tile of both pools; the last program of a block of channels writes the statistics of every row."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, HO, WO)
    k, inside_k = channels_of(block, C, K)
    largest = tl.full((M, K), float("-inf"), SUM)
    place = tl.zeros((M, K), tl.uint8)
    total = tl.zeros((M, K), SUM)
    middle = x + ((b * H + h * STRIDE) * W + w * STRIDE)[:, None] * C + k[None, :]
    for i in tl.static_range(3):
        hh = h * STRIDE + (i - 1)
        in_row = valid & (hh >= 0) & (hh < H)
        for j in tl.static_range(3):
            ww = w * STRIDE + (j - 1)
            mask = (in_row & (ww >= 0) & (ww < W))[:, None] & inside_k[None, :]
            value = tl.load(middle + ((i - 1) * W + (j - 1)) * C, mask=mask, other=0.0).to(SUM)
            above = mask & ((value > largest) | (value != value))
            largest = tl.where(above, value, largest)
            place = tl.where(above, tl.full((M, K), i * 3 + j, tl.uint8), place)
            total += value
    at, mask = offsets_of(m, valid, k, inside_k, C)
    tl.store(where + at, place, mask=mask)
    tiled = tl.minimum(PIXELS - tile * M, M).to(SUM)
    for pool in tl.static_range(2):
        if pool == 0:
            y = largest.to(pools.dtype.element_ty)
        else:
            y = (total * (_share(h, H, STRIDE, SUM) * _share(w, W, STRIDE, SUM))[:, None]).to(pools.dtype.element_ty)
        tl.store(pools + pool * PIXELS * C + at, y, mask=mask)
        if TRAINING:
            stored = tl.where(mask, y.to(SUM), 0.0)
            average = tl.sum(stored, 0) / tiled
            away = tl.where(mask, stored - average[None, :], 0.0)
            to = partial + ((pool * TILES + tile) * 2) * C + k
            tl.store(to, average, mask=inside_k)
            tl.store(to + C, tl.sum(away * away, 0), mask=inside_k)
    if TRAINING and is_last(counters + block, TILES):
        _finish(
            partial, table, gates, mean, rstd, variances, k, inside_k, PIXELS, TILES, ROWS, DEGREES, EPS,
            C, M, T, R, K, SUM,
        )  # fmt: skip


@triton.jit
def _pools_backward_kernel(
    grads, where, before, out, H, W, HO, WO, PIXELS, OUTPUTS,
    C: tl.constexpr, STRIDE: tl.constexpr, ADD: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write what a state had ``before`` plus its gradient, gathered from the windows around each pixel."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, H, W)
    k, inside_k = channels_of(block, C, K)
    total = tl.zeros((M, K), SUM)
    last_h, last_w = (h + 1) // STRIDE, (w + 1) // STRIDE  # the last window that contains the pixel
    middle = ((b * HO + last_h) * WO + last_w)[:, None] * C + k[None, :]
    for before_h in tl.static_range(0, 3, STRIDE):
        hh = last_h - before_h // STRIDE
        i = h + 1 - hh * STRIDE
        in_row = valid & (hh >= 0) & (hh < HO) & (i < 3)
        of_row = _share(hh, H, STRIDE, SUM)
        for before_w in tl.static_range(0, 3, STRIDE):
            ww = last_w - before_w // STRIDE
            j = w + 1 - ww * STRIDE
            mask = (in_row & (ww >= 0) & (ww < WO) & (j < 3))[:, None] & inside_k[None, :]
            at = middle - (before_h // STRIDE * WO + before_w // STRIDE) * C
            place = tl.load(where + at, mask=mask, other=255).to(tl.int32)
            largest = tl.load(grads + at, mask=mask, other=0.0).to(SUM)
            total += tl.where(place == (i * 3 + j)[:, None], largest, 0.0)
            average = tl.load(grads + OUTPUTS * C + at, mask=mask, other=0.0).to(SUM)
            total += average * (of_row * _share(ww, W, STRIDE, SUM))[:, None]
    at, mask = offsets_of(m, valid, k, inside_k, C)
    if ADD:
        total += tl.load(before + at, mask=mask, other=0.0).to(SUM)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


def pools_forward(
    x: Tensor,
    pools: Tensor,
    where: Tensor,
    stride: int,
    table: Tensor,
    gates: Tensor,
    statistics: tuple[Tensor, Tensor, Tensor],
    counters: Tensor,
    training: bool,
) -> None:
    """Max-pool and average-pool a state; in training, write the statistics of the pools that a BatchNorm follows.

    Args:
        x: ``(b, h, w, c)``, contiguous.
        pools: ``(2, m, c)``, written.
        where: positions of the maxima in their windows, 0 to 8, ``(m, c)``, uint8, written.
        stride: 1 or 2.
        table: these pools, once for each edge, ``(r, 6)``, rows as ``supernet.fused.rows.ConvRow``, of the kinds 0 for
            the maximum and 1 for the average.
        gates: flattened; statistics of rows whose gate is 0 are not written.
        statistics: mean, 1 / std and unbiased variance at every place, ``(place, c)``; the rows' targets are written.
        counters: zeros, int32, one for each block of channels (``launch.blocks_of``); zeros again afterwards.
        training: whether BatchNorm uses the batch's statistics; without, none are written.
    """
    b, h, w, channels = x.shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    pixels = b * ho * wo
    tile = many_tiles_of(pixels, channels)
    training = training and len(table) > 0
    partial = pools.new_empty(2, tile.count if training else 0, 2, channels, dtype=sum_type(x.dtype))
    launch(
        _pools_kernel, (tile.count, blocks_of(channels)),
        x, pools, where, partial, table, gates, counters, *statistics, h, w, ho, wo, pixels, tile.count, len(table),
        max(pixels - 1, 1), BatchNorm.eps, C=channels, STRIDE=stride, TRAINING=training,
        M=tile.m, T=tiles_at_once(tile.count, tile.k, 2048), R=triton.next_power_of_2(max(1, len(table))), K=tile.k,
        SUM=tile.sums(x.dtype),
    )  # fmt: skip


def pools_backward(grads: Tensor, where: Tensor, before: Tensor | None, out: Tensor, stride: int) -> None:
    """Write a sum with the gradient of a state through its pools.

    Args:
        grads: gradients of the max-pooled and the average-pooled state, ``(2, m, c)``.
        where, stride: as in ``pools_forward``.
        before: what that gradient is added to, like ``out``, maybe ``out`` itself; ``None`` for 0.
        out: ``(b, h, w, c)``, contiguous, written.
    """
    b, h, w, channels = out.shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    tile = many_tiles_of(b * h * w, channels)
    launch(
        _pools_backward_kernel, (tile.count, blocks_of(channels)),
        grads, where, out if before is None else before, out, h, w, ho, wo, b * h * w, b * ho * wo, C=channels,
        STRIDE=stride, ADD=before is not None, M=tile.m, K=tile.k, SUM=tile.sums(out.dtype),
    )  # fmt: skip
