"""Fused 3x3 pooling: maximum and average of states from one read, with the statistics of both.

Pools have no parameters, so all edges that leave a state share them, and their statistics, which the last program of a
state finishes. The position of each maximum in its window is kept in a byte for the backward pass, which gathers: each
pixel reads the nine windows that contain it. Ties go to the first pixel of the window in row-major order, as in
PyTorch. The definitions are ``naive.pools_forward`` and ``naive.pools_backward``.

Each lane of a program computes a *patch*, some neighbouring windows of a few rows and columns, and reads the pixels
around it once: all loads are under way before the first value is needed. First it joins three columns of each row, then
three rows of what came of that; windows next to each other share a pair of columns, and a pair of rows.

Axes: ``l`` lane, ``m`` pixel of the batch, ``c`` channel; pool 0 is the maximum, pool 1 the average.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.batch_norm import statistics_of_tiles, store_statistics, tiles_at_once
from supernet.fused.launch import blocks_of, ceil_div, launch, sum_type, triton_type
from supernet.fused.shared.windows import (
    joined_windows,
    known_channels,
    nothing,
    patches_at,
    patches_of,
    pixel_gradient,
    share_of,
    sums_of_windows,
)
from supernet.fused.tables import COLUMNS, CONV_GATE, CONV_KIND, CONV_TARGET
from supernet.fused.tiles import is_last
from supernet.ops import BatchNorm


@triton.jit
def _finish(
    partial, table, gates, mean, rstd, variances, state, k, inside_k, PIXELS, TILES, ROWS, DEGREES, EPS,
    C: tl.constexpr, M: tl.constexpr, T: tl.constexpr, N: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write the statistics of every row's pool of a state from those of the tiles."""
    row = tl.arange(0, N)
    known = row < ROWS
    kinds = tl.load(table + row * COLUMNS + CONV_KIND, mask=known, other=-1)
    targets = tl.load(table + row * COLUMNS + CONV_TARGET, mask=known, other=0)
    gate = tl.load(gates + tl.load(table + row * COLUMNS + CONV_GATE, mask=known, other=0), mask=known, other=0.0)
    at = targets[:, None] * C + k[None, :]
    for kind in range(2 * state, 2 * state + 2):
        first = partial + kind * TILES * 2 * C
        average, squares = statistics_of_tiles(first, k, inside_k, PIXELS, TILES, C, M, T, K, SUM)
        own = ((kinds == kind) & (gate != 0))[:, None] & inside_k[None, :]
        store_statistics(at, average[None, :], squares[None, :], mean, rstd, variances, own, PIXELS, DEGREES, EPS)


@triton.jit
def _one_of(states, number):
    """Return the address of one of several states."""
    found = states[0]
    for other in tl.static_range(1, len(states)):
        found = tl.where(number == other, states[other], found)
    return found


@triton.jit
def _added(values):
    """Return the sum of some tensors."""
    total = values[0]
    for n in tl.static_range(1, len(values)):
        total += values[n]
    return total


@triton.jit
def _squares(values, middle):
    """Return the sum of the squared deviations of some tensors."""
    total = (values[0] - middle) * (values[0] - middle)
    for n in tl.static_range(1, len(values)):
        total += (values[n] - middle) * (values[n] - middle)
    return total


@triton.jit
def _pools_kernel(
    states, pools, where, partial, table, gates, counters, mean, rstd, variances, PIXELS, TILES, ROWS, DEGREES, EPS,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr, TRAINING: tl.constexpr,
    STORED: tl.constexpr, WHOLE: tl.constexpr, L: tl.constexpr, R: tl.constexpr, X: tl.constexpr, T: tl.constexpr,
    N: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Compute both pools of some patches; the last program of a state's block of channels writes their statistics."""
    tile, block, state = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    HO: tl.constexpr = (H + STRIDE - 1) // STRIDE
    WO: tl.constexpr = (W + STRIDE - 1) // STRIDE
    DOWN: tl.constexpr = STRIDE * (R - 1) + 2  # from the first row of pixels to the last, of which one may not exist
    ACROSS: tl.constexpr = STRIDE * (X - 1) + 2
    b, h, w, valid = patches_at(tile, PIXELS, HO, WO, L, R, X, WHOLE)
    k, inside_k = known_channels(block, C, K)
    mask = valid[:, None] & inside_k[None, :]
    yes = tl.full((L, 1), True, tl.int1)
    north, south = (h > 0)[:, None], (h * STRIDE + DOWN - 1 < H)[:, None]
    west, east = (w > 0)[:, None], (w * STRIDE + ACROSS - 1 < W)[:, None]
    x = _one_of(states, state) + ((b * H + h * STRIDE) * W + w * STRIDE)[:, None] * C + k[None, :]
    read = nothing()
    for i in tl.static_range(DOWN + 1):
        of_row = mask & (north if i == 0 else (south if i == DOWN else yes))
        for j in tl.static_range(ACROSS + 1):
            exists = of_row & (west if j == 0 else (east if j == ACROSS else yes))
            read += (tl.load(x + ((i - 1) * W + j - 1) * C, mask=exists, other=0.0),)
    rows = nothing()
    for i in tl.static_range(DOWN + 1):
        row = nothing()
        for j in tl.static_range(ACROSS + 1):
            value = read[i * (ACROSS + 1) + j].to(SUM)
            row += ((value, value, tl.full((L, K), i * 3 + j, tl.int32)),)
        rows += (joined_windows(row, west, east, yes, STRIDE, X),)
    at = ((b * HO + h) * WO + w)[:, None] * C + k[None, :]
    to_maximum = pools + (2 * state).to(tl.int64) * PIXELS * C + at
    to_average = to_maximum + PIXELS * C
    to_place = where + state.to(tl.int64) * PIXELS * C + at
    maxima = nothing()
    averages = nothing()
    for n in tl.static_range(X):
        column = nothing()
        for i in tl.static_range(DOWN + 1):
            column += (rows[i][n],)
        windows = joined_windows(column, north, south, yes, STRIDE, R)
        of_column = share_of(west if n == 0 else yes, east if n == X - 1 else yes, SUM)
        for r in tl.static_range(R):
            total, largest, place = windows[r]
            share = of_column * share_of(north if r == 0 else yes, south if r == R - 1 else yes, SUM)
            average = (total * share).to(pools.dtype.element_ty)
            offset = (r * WO + n) * C
            if STORED:
                tl.store(to_maximum + offset, largest.to(pools.dtype.element_ty), mask=mask)
                tl.store(to_average + offset, average, mask=mask)
            tl.store(to_place + offset, (place - STRIDE * (r * 3 + n)).to(tl.uint8), mask=mask)
            maxima += (largest,)
            averages += (average.to(SUM),)
    if TRAINING:
        tiled = tl.minimum(PIXELS - tile * L * R * X, L * R * X).to(SUM)
        middles = tl.sum(tl.join(_added(maxima), _added(averages)), 0) / tiled  # (k, pool)
        of_maxima, of_averages = tl.split(middles)
        squares = tl.join(_squares(maxima, of_maxima[None, :]), _squares(averages, of_averages[None, :]))
        to = partial + (((2 * state + tl.arange(0, 2)) * TILES + tile) * 2 * C)[None, :] + k[:, None]
        tl.store(to, middles, mask=inside_k[:, None])
        tl.store(to + C, tl.sum(tl.where(mask[:, :, None], squares, 0.0), 0), mask=inside_k[:, None])
        if is_last(counters + state * tl.num_programs(1) + block, TILES):
            _finish(
                partial, table, gates, mean, rstd, variances, state, k, inside_k, PIXELS, TILES, ROWS, DEGREES, EPS,
                C, L * R * X, T, N, K, SUM,
            )  # fmt: skip


@triton.jit
def _pools_backward_kernel(
    grads, where, befores, outs, PIXELS, PITCH,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr, ADD: tl.constexpr, WHOLE: tl.constexpr,
    L: tl.constexpr, R: tl.constexpr, X: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write what states had ``before`` plus their gradients, of the pixels of some patches.

    They are those in the middle of the patch's windows; with a stride of 2 also those to the right and below.
    """
    tile, block, state = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    HO: tl.constexpr = (H + STRIDE - 1) // STRIDE
    WO: tl.constexpr = (W + STRIDE - 1) // STRIDE
    BEFORE: tl.constexpr = 2 - STRIDE  # rows of windows above the patch that contain some of its pixels
    DOWN: tl.constexpr = R + BEFORE
    ACROSS: tl.constexpr = X + BEFORE
    b, h, w, valid = patches_at(tile, PIXELS, HO, WO, L, R, X, WHOLE)
    k, inside_k = known_channels(block, C, K)
    mask = valid[:, None] & inside_k[None, :]
    yes = tl.full((L, 1), True, tl.int1)
    at = ((b * HO + h) * WO + w)[:, None] * C + k[None, :]
    of_maximum = grads + (2 * state).to(tl.int64) * PIXELS * C + at
    of_average = of_maximum + PIXELS * C
    of_place = where + state.to(tl.int64) * PIXELS * C + at
    places = nothing()
    maxima = nothing()
    averages = nothing()
    totals = nothing()
    for t in tl.static_range(DOWN + 1):
        hh = (h + t - BEFORE)[:, None]
        of_row = mask & (hh >= 0 if t < BEFORE else (hh < HO if t == DOWN else yes))
        north, south = hh > 0 if t <= BEFORE else yes, hh * STRIDE + 1 < H if t >= DOWN - 1 else yes
        row_places = nothing()
        row_maxima = nothing()
        row_averages = nothing()
        for u in tl.static_range(ACROSS + 1):
            ww = (w + u - BEFORE)[:, None]
            exists = of_row & (ww >= 0 if u < BEFORE else (ww < WO if u == ACROSS else yes))
            west, east = ww > 0 if u <= BEFORE else yes, ww * STRIDE + 1 < W if u >= ACROSS - 1 else yes
            offset = ((t - BEFORE) * WO + u - BEFORE) * C
            share = share_of(north, south, SUM) * share_of(west, east, SUM)
            average = tl.load(of_average + offset, mask=exists, other=0.0).to(SUM)
            row_places += (tl.load(of_place + offset, mask=exists, other=255).to(tl.int32),)
            row_maxima += (tl.load(of_maximum + offset, mask=exists, other=0.0).to(SUM),)
            row_averages += (average * share,)
        places += (row_places,)
        maxima += (row_maxima,)
        averages += (sums_of_windows(row_averages, STRIDE, X),)
        for p in tl.static_range(STRIDE * R):
            if (p + 1) // STRIDE + BEFORE == t:  # the last row that contains it
                for q in tl.static_range(STRIDE * X):
                    totals += (pixel_gradient(places, maxima, averages, p, q, STRIDE),)
    pixel = ((b * H + h * STRIDE) * W + w * STRIDE)[:, None]
    out = _one_of(outs, state) + pixel * C + k[None, :]
    before = _one_of(befores, state) + pixel * PITCH + k[None, :]
    for p in tl.static_range(STRIDE * R):
        of_row = mask & ((h * STRIDE + p < H)[:, None] if p == 2 * R - 1 else yes)
        for q in tl.static_range(STRIDE * X):
            exists = of_row & ((w * STRIDE + q < W)[:, None] if q == 2 * X - 1 else yes)
            total = totals[p * STRIDE * X + q]
            if ADD:
                total += tl.load(before + (p * W + q) * PITCH, mask=exists, other=0.0).to(SUM)
            tl.store(out + (p * W + q) * C, total.to(out.dtype.element_ty), mask=exists)


def pools_forward(
    states: Sequence[Tensor],
    pools: Tensor | None,
    where: Tensor,
    stride: int,
    table: Tensor,
    gates: Tensor,
    statistics: tuple[Tensor, Tensor, Tensor],
    counters: Tensor,
    training: bool,
) -> None:
    """Max-pool and average-pool states; in training, write the statistics of the pools that a BatchNorm follows.

    Args:
        states: ``n`` states ``(b, h, w, c)``, contiguous.
        pools: ``(2n, m, c)``, written: of state ``i`` the maximum at ``2i``, the average behind it; ``None`` where they
            are not stored.
        where: positions of the maxima in their windows, 0 to 8, ``(n, m, c)``, uint8, written.
        stride: 1 or 2.
        table: these pools, once for each edge, ``(r, 6)``, rows as ``supernet.fused.rows.ConvRow``; their kinds are
            places in ``pools``.
        gates: flattened; statistics of rows whose gate is 0 are not written.
        statistics: mean, 1 / std and unbiased variance at every place, ``(place, c)``; the rows' targets are written.
        counters: zeros, int32, one for each state and block of channels (``launch.blocks_of``); zeros again afterwards.
        training: whether BatchNorm uses the batch's statistics; without, none are written.
    """
    b, h, w, channels = states[0].shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    pixels, patches = b * ho * wo, patches_of(b, ho, wo, channels, len(states))
    training = training and len(table) > 0
    sums = sum_type(states[0].dtype)
    partial = where.new_empty(2 * len(states), patches.count if training else 0, 2, channels, dtype=sums)
    launch(
        _pools_kernel, (patches.count, blocks_of(channels), len(states)),
        tuple(states), states[0] if pools is None else pools, where, partial, table, gates, counters, *statistics,
        pixels, patches.count, len(table), max(pixels - 1, 1), BatchNorm.eps, H=h, W=w, C=channels, STRIDE=stride,
        TRAINING=training, STORED=pools is not None, WHOLE=patches.whole, L=patches.lanes, R=patches.rows,
        X=patches.columns, T=tiles_at_once(patches.count, patches.k, 1024),
        N=triton.next_power_of_2(max(1, len(table))), K=patches.k, SUM=triton_type(sums),
    )  # fmt: skip


def pools_backward(
    grads: Tensor, where: Tensor, before: Sequence[Tensor] | None, outs: Sequence[Tensor], stride: int
) -> None:
    """Write sums with the gradients of states through their pools.

    Args:
        grads: gradients of the max-pooled and average-pooled states, ``(2n, m, c)``.
        where, stride: as in ``pools_forward``.
        before: what each state's gradient is added to, ``(m, c)``, maybe its ``out``; their pixels all lie the same
            number of values apart, ``c`` or more; ``None`` for 0.
        outs: ``n`` tensors ``(b, h, w, c)``, contiguous, written.
    """
    b, h, w, channels = outs[0].shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    patches = patches_of(b, ho, wo, channels, len(outs))
    befores = tuple(outs) if before is None else tuple(before)
    launch(
        _pools_backward_kernel, (patches.count, blocks_of(channels), len(outs)),
        grads, where, befores, tuple(outs), b * ho * wo, befores[0].stride(0), H=h, W=w, C=channels, STRIDE=stride,
        ADD=before is not None, WHOLE=patches.whole, L=patches.lanes, R=patches.rows, X=patches.columns, K=patches.k,
        SUM=triton_type(sum_type(grads.dtype)),
    )  # fmt: skip
