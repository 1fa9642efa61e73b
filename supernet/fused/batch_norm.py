"""BatchNorm's statistics from those of tiles, and the coefficients of its backward from sums over tiles.

Forward: mean and variance of each plane are combined from each tile's mean and squared deviations (Chan et al. 1979),
which avoids cancellation. Backward: with ``z`` the normalized plane, ``w`` its gate and ``rho = 1 / std``, the
gradient ``w rho (g - mean(g) - z mean(g z))`` is ``a g + b y + s``; ``sum(g z)`` over pixels and channels is the
gate's gradient. The definitions are ``naive.batch_statistics`` and ``naive.coefficients``.

Axes: ``r`` row of a launch table, ``c`` channel, ``e`` slot in a stacked buffer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.launch import Tile, block_of, ceil_div, launch, on_device, triton_type
from supernet.fused.tables import CONV_GATE, CONV_TARGET, entry
from supernet.fused.tiles import channels_of
from supernet.ops import BatchNorm


@triton.jit
def statistics_of_tiles(
    first, k, inside, PIXELS, TILES, C: tl.constexpr, M: tl.constexpr, T: tl.constexpr, K: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    """Return mean and sum of squared deviations of a plane, ``(k,)`` each, from those of its tiles at ``first``.

    Means are taken relative to that of the first tile, so that nothing cancels where they are large and alike.
    """
    middle = tl.load(first + k, mask=inside, other=0.0, cache_modifier=".cg")
    total = tl.zeros((T, K), SUM)
    squares = tl.zeros((T, K), SUM)
    for t0 in range(0, TILES, T):
        t = t0 + tl.arange(0, T)
        counts = tl.where(t < TILES, tl.minimum(PIXELS - t * M, M), 0).to(SUM)
        mask = (t < TILES)[:, None] & inside[None, :]
        at = first + t[:, None] * 2 * C + k[None, :]
        away = tl.where(mask, tl.load(at, mask=mask, other=0.0, cache_modifier=".cg") - middle[None, :], 0.0)
        weighted = away * counts[:, None]
        total += weighted
        squares += tl.load(at + C, mask=mask, other=0.0, cache_modifier=".cg") + away * weighted
    whole = tl.sum(total, 0)
    shift = whole / PIXELS
    return middle + shift, tl.maximum(tl.sum(squares, 0) - whole * shift, 0.0)


@triton.jit
def store_statistics(at, average, squares, mean, rstd, variances, mask, PIXELS, DEGREES, EPS):
    """Write mean, 1 / std and unbiased variance at offsets."""
    tl.store(mean + at, average, mask=mask)
    tl.store(rstd + at, 1 / tl.sqrt(squares / PIXELS + EPS), mask=mask)
    tl.store(variances + at, squares / DEGREES, mask=mask)


@triton.jit
def _statistics_kernel(
    partial, table, gates, mean, rstd, variances, PIXELS, TILES, DEGREES, EPS,
    C: tl.constexpr, M: tl.constexpr, T: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    row, block = tl.program_id(0), tl.program_id(1)
    target = entry(table, row, CONV_TARGET)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    k, inside = channels_of(block, C, K)
    first = partial + row * TILES * 2 * C
    average, squares = statistics_of_tiles(first, k, inside, PIXELS, TILES, C, M, T, K, SUM)
    store_statistics(target * C + k, average, squares, mean, rstd, variances, inside, PIXELS, DEGREES, EPS)


@triton.jit
def _running_kernel(
    addresses, rows, gates, mean, variances, MOMENTUM, C: tl.constexpr, K: tl.constexpr, KEPT: tl.constexpr
):
    row = tl.program_id(0)
    place, gate = tl.load(rows + row * 2), tl.load(rows + row * 2 + 1)
    if tl.load(gates + gate) == 0:
        return
    k, inside = channels_of(tl.program_id(1), C, K)
    for which in tl.static_range(2):
        at = tl.load(addresses + row * 2 + which).to(tl.pointer_type(KEPT)) + k
        if which == 0:
            now = tl.load(mean + place * C + k, mask=inside, other=0.0)
        else:
            now = tl.load(variances + place * C + k, mask=inside, other=0.0)
        before = tl.load(at, mask=inside, other=0.0)
        tl.store(at, before + MOMENTUM * (now.to(KEPT) - before), mask=inside)


@triton.jit
def sums_of_tiles(first, k, inside, TILES, C: tl.constexpr, T: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr):
    """Return the sums of ``g`` and of ``g z``, ``(k,)`` each, from those of tiles at ``first``."""
    g_sums = tl.zeros((T, K), SUM)
    gz_sums = tl.zeros((T, K), SUM)
    for t0 in range(0, TILES, T):
        t = t0 + tl.arange(0, T)
        mask = (t < TILES)[:, None] & inside[None, :]
        at = first + t[:, None] * 2 * C + k[None, :]
        g_sums += tl.load(at, mask=mask, other=0.0, cache_modifier=".cg")
        gz_sums += tl.load(at + C, mask=mask, other=0.0, cache_modifier=".cg")
    return tl.sum(g_sums, 0), tl.sum(gz_sums, 0)


@triton.jit
def slope_and_constant(gated, scale, average, g, gz, PIXELS):
    """Return ``b`` and ``s`` of a plane, in training, from 1 / std times its gate, 1 / std, mean and both sums."""
    slope = -gated * scale * gz / PIXELS
    return slope, -gated * g / PIXELS - slope * average


@triton.jit
def write_coefficients(
    first, w, place, is_normed, mean, rstd, a, b, s, PIXELS, TILES,
    C: tl.constexpr, TRAINING: tl.constexpr, T: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write ``a``, ``b``, ``s`` of a plane whose gate is ``w`` from the sums of tiles at ``first``; 0 for a gate of 0.

    Returns the sum of ``g z`` over all channels. At a place below 0 nothing is written.
    """
    width = tl.where(place >= 0, C, 0)  # channels written: a scalar condition cannot be combined with a mask everywhere
    known = tl.where(is_normed, width, 0)
    whole = tl.zeros((K,), SUM)
    for k0 in range(0, C, K):
        k = k0 + tl.arange(0, K)
        inside = k < C
        g, gz = sums_of_tiles(first, k, inside, tl.where(w != 0, TILES, 0), C, T, K, SUM)
        whole += gz
        written, normed = k < width, k < known
        scale = tl.load(rstd + place * C + k, mask=normed, other=1.0).to(SUM)
        average = tl.load(mean + place * C + k, mask=normed, other=0.0).to(SUM)
        scale = tl.where(w != 0, scale, 0.0)
        average = tl.where(w != 0, average, 0.0)
        gated = scale * w
        slope = tl.zeros((K,), SUM)
        constant = tl.zeros((K,), SUM)
        if TRAINING:
            slope, constant = slope_and_constant(gated, scale, average, g, gz, PIXELS)
            slope, constant = tl.where(normed, slope, 0.0), tl.where(normed, constant, 0.0)
        tl.store(a + place * C + k, gated, mask=written)
        tl.store(b + place * C + k, slope, mask=written)
        tl.store(s + place * C + k, constant, mask=written)
    return tl.sum(whole, 0)


@triton.jit
def _coefficients_kernel(
    partial, table, gates, mean, rstd, a, b, s, PIXELS, TILES,
    C: tl.constexpr, TRAINING: tl.constexpr, T: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write the coefficients of a first half: no gate multiplies it, but none are needed for a gate of 0."""
    row = tl.program_id(0)
    w = tl.where(tl.load(gates + entry(table, row, CONV_GATE)) != 0, 1.0, 0.0).to(SUM)
    first = partial + row * TILES * 2 * C
    target = entry(table, row, CONV_TARGET)
    write_coefficients(first, w, target, True, mean, rstd, a, b, s, PIXELS, TILES, C, TRAINING, T, K, SUM)


def tiles_at_once(tiles: int, k: int, values: int = 4096) -> int:
    """Return the number of tiles that a program reads at a time: one turn, if possible, since turns wait in a row."""
    return min(triton.next_power_of_2(tiles), values // k)


def finalize_statistics(
    partial: Tensor,
    tile: Tile,
    pixels: int,
    table: Tensor,
    mean: Tensor,
    rstd: Tensor,
    variances: Tensor,
    gates: Tensor,
) -> None:
    """Write mean, 1 / std and unbiased variance of each row's target, ``(place, c)``.

    Args:
        partial: each tile's mean and squared deviations, ``(r, tiles, 2, c)``.
        tile: the tile size.
        pixels: number of pixels of the batch.
        table: ``(r, 6)``, rows as ``supernet.fused.rows.ConvRow``.
        mean, rstd, variances: ``(place, c)``, written.
        gates: flattened; rows whose gate is 0 are not written.
    """
    _, tiles, _, channels = partial.shape
    k = block_of(channels)
    launch(
        _statistics_kernel, (len(table), ceil_div(channels, k)),
        partial, table, gates, mean, rstd, variances, pixels, tiles, max(pixels - 1, 1), BatchNorm.eps,
        C=channels, M=tile.m, T=tiles_at_once(tiles, k), K=k, SUM=triton_type(partial.dtype),
    )  # fmt: skip


def move_running(
    mean: Tensor,
    variances: Tensor,
    running: Sequence[tuple[Tensor, Tensor]],
    rows: tuple[tuple[int, int], ...],
    gates: Tensor,
) -> None:
    """Update running statistics by BatchNorm's momentum, in one launch.

    Args:
        mean, variances: of the batch, ``(place, c)``.
        running: running mean and variance of each row, ``(c,)`` each, slices of stacked buffers, updated.
        rows: place and gate index of each row.
        gates: flattened; rows whose gate is 0 are not updated.
    """
    channels = mean.shape[1]
    k = block_of(channels)
    addresses = on_device(tuple((m.data_ptr(), v.data_ptr()) for m, v in running), mean.device, torch.int64)
    kept = {torch.float32: tl.float32, torch.float64: tl.float64}[running[0][0].dtype]
    launch(
        _running_kernel, (len(rows), ceil_div(channels, k)),
        addresses, on_device(rows, mean.device), gates, mean, variances, BatchNorm.momentum,
        C=channels, K=k, KEPT=kept,
    )  # fmt: skip


def finalize_coefficients(
    partial: Tensor,
    pixels: int,
    table: Tensor,
    mean: Tensor,
    rstd: Tensor,
    coefficients: Tensor,
    gates: Tensor,
    training: bool,
) -> None:
    """Write the coefficients of first halves, whose output no gate scales.

    Args:
        partial: each tile's sums of ``g`` and of ``g z``, ``(r, tiles, 2, c)``.
        pixels: number of pixels of the batch.
        table: ``(r, 6)``, rows as ``supernet.fused.rows.ConvRow``; their targets are written.
        mean, rstd: ``(place, c)``.
        coefficients: ``a``, ``b``, ``s``, ``(3, place, c)``, written.
        gates: flattened; rows whose gate is 0 get coefficients of 0.
        training: whether the statistics are the batch's own, so that the gradient passes through them.
    """
    rows, tiles, _, channels = partial.shape
    k = block_of(channels)
    launch(
        _coefficients_kernel, (rows,),
        partial, table, gates, mean, rstd, *coefficients, pixels, tiles,
        C=channels, TRAINING=training, T=tiles_at_once(tiles, k), K=k, SUM=triton_type(partial.dtype),
    )  # fmt: skip


def running_statistics(
    mean: Tensor, rstd: Tensor, running: tuple[Tensor, Tensor], slots: Sequence[int], places: Sequence[int]
) -> None:
    """Write running statistics as a pass in evaluation uses them: ``mean`` and ``rstd``, ``(place, c)``.

    Args:
        running: stacked running mean and variance, ``(e, c)`` each.
        slots, places: of each edge, its row in ``running`` and in ``mean`` and ``rstd``.
    """
    at, to = (on_device(tuple(numbers), mean.device, torch.int64) for numbers in (slots, places))
    means, variances = (stacked.index_select(0, at).to(mean.dtype) for stacked in running)
    mean.index_copy_(0, to, means)
    rstd.index_copy_(0, to, (variances + BatchNorm.eps).rsqrt())
