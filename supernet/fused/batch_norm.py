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
from supernet.fused.tables import CONV_GATE, CONV_KIND, CONV_TARGET, NORMALIZED, TERM_FORM, TERM_GATE, entry
from supernet.fused.tiles import channels_of
from supernet.ops import BatchNorm


@triton.jit
def _statistics_kernel(
    partial, table, gates, mean, rstd, variances, PIXELS, TILES, DEGREES, EPS,
    C: tl.constexpr, M: tl.constexpr, BY_KIND: tl.constexpr, T: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    row, block = tl.program_id(0), tl.program_id(1)
    target = entry(table, row, CONV_TARGET)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    k, inside = channels_of(block, C, K)
    part = row
    if BY_KIND:
        part = entry(table, row, CONV_KIND)
    first = partial + part * TILES * 2 * C
    total = tl.zeros((T, K), SUM)
    for t0 in range(0, TILES, T):
        t = t0 + tl.arange(0, T)
        counts = tl.where(t < TILES, tl.minimum(PIXELS - t * M, M), 0).to(SUM)
        mask = (t < TILES)[:, None] & inside[None, :]
        total += tl.load(first + t[:, None] * 2 * C + k[None, :], mask=mask, other=0.0) * counts[:, None]
    average = tl.sum(total, 0) / PIXELS
    deviations = tl.zeros((T, K), SUM)
    for t0 in range(0, TILES, T):
        t = t0 + tl.arange(0, T)
        counts = tl.where(t < TILES, tl.minimum(PIXELS - t * M, M), 0).to(SUM)
        mask = (t < TILES)[:, None] & inside[None, :]
        at = first + t[:, None] * 2 * C + k[None, :]
        away = tl.load(at, mask=mask, other=0.0) - average[None, :]
        deviations += tl.load(at + C, mask=mask, other=0.0) + tl.where(mask, away * away, 0.0) * counts[:, None]
    squares = tl.sum(deviations, 0)
    at = target * C + k
    tl.store(mean + at, average, mask=inside)
    tl.store(rstd + at, 1 / tl.sqrt(squares / PIXELS + EPS), mask=inside)
    tl.store(variances + at, squares / DEGREES, mask=inside)


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
def _coefficients_kernel(
    partial, table, gates, mean, rstd, a, b, s, gate_grads, PLACE, PIXELS, TILES,
    C: tl.constexpr, GATED: tl.constexpr, TRAINING: tl.constexpr, T: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write ``a``, ``b``, ``s`` of each plane and its gate's gradient from its sums; 0 for a gate of 0."""
    row = tl.program_id(0)
    place, gate_at = entry(table, row, PLACE), entry(table, row, TERM_GATE)
    w = tl.load(gates + gate_at).to(SUM)
    width = tl.where(place >= 0, C, 0)  # channels written: a scalar condition cannot be combined with a mask everywhere
    known = width
    if GATED:
        known = tl.where(entry(table, row, TERM_FORM) == NORMALIZED, width, 0)
    first = partial + row * TILES * 2 * C
    whole = tl.zeros((K,), SUM)
    for k0 in range(0, C, K):
        k = k0 + tl.arange(0, K)
        inside = k < C
        g_sums = tl.zeros((T, K), SUM)
        gz_sums = tl.zeros((T, K), SUM)
        for t0 in range(0, tl.where(w != 0, TILES, 0), T):
            t = t0 + tl.arange(0, T)
            mask = (t < TILES)[:, None] & inside[None, :]
            at = first + t[:, None] * 2 * C + k[None, :]
            g_sums += tl.load(at, mask=mask, other=0.0)
            gz_sums += tl.load(at + C, mask=mask, other=0.0)
        g, gz = tl.sum(g_sums, 0), tl.sum(gz_sums, 0)
        whole += gz
        written, normed = k < width, k < known
        scale = tl.load(rstd + place * C + k, mask=normed, other=1.0).to(SUM)
        average = tl.load(mean + place * C + k, mask=normed, other=0.0).to(SUM)
        scale = tl.where(w != 0, scale, 0.0)
        average = tl.where(w != 0, average, 0.0)
        gated = scale
        if GATED:
            gated = scale * w
        slope = tl.zeros((K,), SUM)
        constant = tl.zeros((K,), SUM)
        if TRAINING:
            slope = tl.where(normed, -gated * scale * gz / PIXELS, 0.0)
            constant = tl.where(normed, -gated * g / PIXELS - slope * average, 0.0)
        tl.store(a + place * C + k, gated, mask=written)
        tl.store(b + place * C + k, slope, mask=written)
        tl.store(s + place * C + k, constant, mask=written)
    if GATED:
        tl.store(gate_grads + gate_at, tl.sum(whole, 0))


def _tiles_at_once(tiles: int, k: int, values: int = 4096) -> int:
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
    *,
    by_kind: bool = False,
) -> None:
    """Write mean, 1 / std and unbiased variance of each row's target, ``(place, c)``.

    Args:
        partial: each tile's mean and squared deviations, ``(r, tiles, 2, c)``, or ``(kind, tiles, 2, c)``.
        tile: the tile size.
        pixels: number of pixels of the batch.
        table: ``(r, 6)``, rows as ``supernet.fused.rows.ConvRow``.
        mean, rstd, variances: ``(place, c)``, written.
        gates: flattened; rows whose gate is 0 are not written.
        by_kind: whether rows of one kind share an entry of ``partial``, as the edges do that share a pool.
    """
    _, tiles, _, channels = partial.shape
    k = block_of(channels)
    launch(
        _statistics_kernel, (len(table), ceil_div(channels, k)),
        partial, table, gates, mean, rstd, variances, pixels, tiles, max(pixels - 1, 1), BatchNorm.eps,
        C=channels, M=tile.m, BY_KIND=by_kind, T=_tiles_at_once(tiles, k), K=k, SUM=triton_type(partial.dtype),
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
    gate_grads: Tensor | None,
    training: bool,
    place: int = CONV_TARGET.value,
) -> None:
    """Write the coefficients of each row's plane and its gate's gradient.

    Args:
        partial: each tile's sums of ``g`` and of ``g z``, ``(r, tiles, 2, c)``.
        pixels: number of pixels of the batch.
        table: ``(r, 6)``, rows as ``supernet.fused.rows.TermRow``, or ``ConvRow`` where ``gate_grads`` is ``None``.
        mean, rstd: ``(place, c)``.
        coefficients: ``a``, ``b``, ``s``, ``(3, place, c)``, written.
        gates: flattened; rows whose gate is 0 get coefficients of 0.
        gate_grads: like ``gates``, written at the rows' gates; ``None`` for first halves, whose output no gate scales.
        training: whether the statistics are the batch's own, so that the gradient passes through them.
        place: the table's column that holds the row of the coefficients.
    """
    rows, tiles, _, channels = partial.shape
    k = block_of(channels)
    a, b, s = coefficients
    launch(
        _coefficients_kernel, (rows,),
        partial, table, gates, mean, rstd, a, b, s, gates if gate_grads is None else gate_grads, place, pixels, tiles,
        C=channels, GATED=gate_grads is not None, TRAINING=training, T=_tiles_at_once(tiles, k), K=k,
        SUM=triton_type(partial.dtype),
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
