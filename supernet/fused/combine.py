"""Fused nodes: a node is the gated sum of its terms, which are normalized on the way, in one pass.

A *term* is the output of one candidate of one incoming edge: a plane or a pooled state, which is normalized, or the
state itself. Forward: ``node = sum of gate rho (y - mean)`` and of ``gate x``. Backward: one pass over the node's
gradient ``g`` and its terms gives the sums that BatchNorm's backward needs; the last program of a term makes of them
its coefficients and its gate's gradient. The definitions are ``naive.combine_forward``, ``naive.combine_sums``,
``naive.finalize_coefficients`` and ``naive.shared_gradient``.

Axes: ``r`` row of a term table, ``m`` pixel of the batch, ``c`` channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.batch_norm import tiles_at_once, write_coefficients
from supernet.fused.launch import PROGRAMS, ceil_div, launch, many_tiles_of, sum_type, tile_of
from supernet.fused.tables import (
    NORMALIZED,
    STATE,
    TERM_FORM,
    TERM_GATE,
    TERM_NODE,
    TERM_PLACE,
    TERM_PLANE,
    TERM_STATE,
    entry,
)
from supernet.fused.tiles import channels_of, is_last, load_channels, load_plane, offsets_of, pixels_of

AT_ONCE = tl.constexpr(4)
"""Terms whose loads are under way at once: a program waits for its loads, not for its arithmetic."""


@triton.jit
def _address(inputs, nodes, planes, table, row, C, PIXELS):
    """Return where a term's state or plane begins."""
    form, state = entry(table, row, TERM_FORM), entry(table, row, TERM_STATE)
    plane = tl.maximum(entry(table, row, TERM_PLANE), 0)
    start = planes + plane.to(tl.int64) * PIXELS * C
    start = tl.where(form == STATE, nodes + tl.maximum(state, 0).to(tl.int64) * PIXELS * C, start)
    for which in tl.static_range(len(inputs)):
        start = tl.where((form == STATE) & (state == -1 - which), inputs[which], start)
    return start


@triton.jit
def _moments(mean, rstd, table, row, k, inside_k, C):
    """Return mean and 1 / std that normalize a term, ``(c,)`` each; 0 and 1 for one that no BatchNorm follows."""
    place = tl.maximum(entry(table, row, TERM_PLACE), 0)
    normed = inside_k & (entry(table, row, TERM_FORM) == NORMALIZED)
    average = tl.load(mean + place * C + k, mask=normed, other=0.0)
    return average, tl.load(rstd + place * C + k, mask=normed, other=1.0)


@triton.jit
def _combine_kernel(
    out, inputs, nodes, planes, mean, rstd, table, gates, PIXELS, FIRST, LAST,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Sum a node's terms, several at a time and without a branch, so that their loads are under way at once."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    k, inside_k = channels_of(block, C, K)
    at, mask = offsets_of(m, valid, k, inside_k, C)
    total = tl.zeros((M, K), SUM)
    for begin in range(FIRST, LAST, AT_ONCE):
        for offset in tl.static_range(AT_ONCE):
            row = tl.minimum(begin + offset, LAST - 1)
            gate = tl.load(gates + entry(table, row, TERM_GATE)).to(SUM)
            live = (begin + offset < LAST) & (gate != 0)
            start = _address(inputs, nodes, planes, table, row, C, PIXELS)
            average, scale = _moments(mean, rstd, table, row, k, inside_k & live, C)
            z = (tl.load(start + at, mask=mask & live, other=0.0).to(SUM) - average[None, :]) * scale[None, :]
            total += tl.where(live, gate, 0.0) * z
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _sums_kernel(
    grads, inputs, nodes, planes, mean, rstd, table, gates, partial, a, b, s, gate_grads, idle, counters, PIXELS,
    TILES, SPLITS, FIRST, NODE, IDLE,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, T: tl.constexpr, G: tl.constexpr,
    TRAINING: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Sum over a split of the pixels; the last program of a row writes what follows from its sums."""
    row = FIRST + tl.program_id(0)
    gate_at = entry(table, row, TERM_GATE)
    w = tl.load(gates + gate_at)
    last = tl.program_id(1) + tl.program_id(2) == 0
    if w != 0:
        _sums_of_split(
            grads, inputs, nodes, planes, mean, rstd, table, partial, row, PIXELS, TILES, SPLITS, NODE, C, M, K, SUM
        )  # fmt: skip
        last = is_last(counters + row, SPLITS * tl.num_programs(2))
    if last:
        first = partial + tl.program_id(0) * SPLITS * 2 * C
        place, is_normed = entry(table, row, TERM_PLACE), entry(table, row, TERM_FORM) == NORMALIZED
        found = write_coefficients(
            first, w.to(SUM), place, is_normed, mean, rstd, a, b, s, PIXELS, SPLITS, C, TRAINING, T, K, SUM
        )  # fmt: skip
        tl.store(gate_grads + gate_at, found)
    if tl.program_id(0) + tl.program_id(1) + tl.program_id(2) == 0:
        i = tl.arange(0, G)
        to = gate_grads + tl.load(idle + i, mask=i < IDLE, other=0)
        tl.store(to, tl.zeros((G,), SUM), mask=i < IDLE)


@triton.jit
def _sums_of_split(
    grads, inputs, nodes, planes, mean, rstd, table, partial, row, PIXELS, TILES, SPLITS, NODE,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Sum the node's gradient ``g``, and ``g z`` for a term ``z``, over a split of the pixels."""
    split, block = tl.program_id(1), tl.program_id(2)
    k, inside_k = channels_of(block, C, K)
    start = _address(inputs, nodes, planes, table, row, C, PIXELS)
    average, scale = _moments(mean, rstd, table, row, k, inside_k, C)
    grads += NODE * PIXELS * C
    whole = tl.zeros((M, K), SUM)
    product = tl.zeros((M, K), SUM)
    for tile in range(split, TILES, SPLITS):
        m, valid = pixels_of(tile, PIXELS, M)
        at, mask = offsets_of(m, valid, k, inside_k, C)
        g = tl.load(grads + at, mask=mask, other=0.0).to(SUM)
        z = tl.load(start + at, mask=mask, other=0.0).to(SUM) - average[None, :]
        whole += g
        product += g * z
    to = partial + ((tl.program_id(0) * SPLITS + split) * 2) * C + k
    tl.store(to, tl.sum(whole, 0), mask=inside_k)
    tl.store(to + C, tl.sum(product, 0) * scale, mask=inside_k)


@triton.jit
def _shared_gradient_kernel(
    grads, planes, a, b, s, gates, pool_rows, state_rows, pool_grads, before, out, PIXELS, MAXIMA, POOLS, STATES,
    C: tl.constexpr, ADD: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write the gradients of a state's two pools, and in ``out`` what was ``before`` plus that of its skips."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    k, inside_k = channels_of(block, C, K)
    at, mask = offsets_of(m, valid, k, inside_k, C)
    largest = tl.zeros((M, K), SUM)
    average = tl.zeros((M, K), SUM)
    for row in range(0, POOLS):
        place, plane = entry(pool_rows, row, TERM_PLACE), entry(pool_rows, row, TERM_PLANE)
        node = entry(pool_rows, row, TERM_NODE)
        if tl.load(gates + entry(pool_rows, row, TERM_GATE)) != 0:
            g = load_plane(grads, node, at, mask, PIXELS, C, SUM)
            y = load_plane(planes, plane, at, mask, PIXELS, C, SUM)
            a_k = load_channels(a, place, k, inside_k, C, SUM)
            b_k = load_channels(b, place, k, inside_k, C, SUM)
            s_k = load_channels(s, place, k, inside_k, C, SUM)
            part = a_k[None, :] * g + b_k[None, :] * y + s_k[None, :]
            if row < MAXIMA:
                largest += part
            else:
                average += part
    if POOLS > 0:
        tl.store(pool_grads + at, largest.to(pool_grads.dtype.element_ty), mask=mask)
        tl.store(pool_grads + PIXELS * C + at, average.to(pool_grads.dtype.element_ty), mask=mask)
    if STATES > 0:
        total = tl.zeros((M, K), SUM)
        if ADD:
            total = tl.load(before + at, mask=mask, other=0.0).to(SUM)
        for row in range(0, STATES):
            node = entry(state_rows, row, TERM_NODE)
            gate = tl.load(gates + entry(state_rows, row, TERM_GATE)).to(SUM)
            if gate != 0:
                total += gate * load_plane(grads, node, at, mask, PIXELS, C, SUM)
        tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


def combine_forward(
    out: Tensor,
    inputs: Sequence[Tensor],
    nodes: Tensor,
    planes: Tensor,
    statistics: tuple[Tensor, Tensor],
    table: Tensor,
    rows: range,
    gates: Tensor,
) -> None:
    """Compute a node.

    Args:
        out: the node, ``(m, c)``, written.
        inputs: states given to the graph, each ``(m, c)``.
        nodes: states that it computed before, ``(node, m, c)``.
        planes: ``(plane, m, c)``; statistics: mean and 1 / std, ``(place, c)``.
        table: all terms, ``(r, 6)``, rows as ``supernet.fused.rows.TermRow``; ``rows`` are the node's.
        gates: flattened; terms whose gate is 0 are skipped, whatever they hold.
    """
    _, pixels, channels = nodes.shape
    tile = many_tiles_of(pixels, channels)
    launch(
        _combine_kernel, (tile.count, ceil_div(channels, tile.k)),
        out, tuple(inputs), nodes, planes, *statistics, table, gates, pixels, rows.start, rows.stop,
        C=channels, M=tile.m, K=tile.k, SUM=tile.sums(nodes.dtype),
    )  # fmt: skip


def combine_coefficients(
    grads: Tensor,
    inputs: Sequence[Tensor],
    nodes: Tensor,
    planes: Tensor,
    statistics: tuple[Tensor, Tensor],
    table: Tensor,
    rows: range,
    node: int,
    gates: Tensor,
    coefficients: Tensor,
    gate_grads: Tensor,
    idle: Tensor,
    counters: Tensor,
    training: bool,
) -> None:
    """Write the coefficients of a node's terms, and their gates' gradients, from the sums over all pixels.

    Args:
        grads: gradients of the nodes, ``(node, m, c)``; ``node`` selects one.
        inputs, nodes, planes, statistics, table, rows, gates: as in ``combine_forward``.
        coefficients: ``a``, ``b``, ``s``, ``(3, place, c)``, written; of a term whose gate is 0, 0.
        gate_grads: like ``gates``, written at the terms' gates; 0 is written at those that are ``idle``, ``(i,)``.
        counters: zeros, int32, one for each row of ``table``; zeros again afterwards.
        training: whether the statistics are the batch's own, so that the gradient passes through them.
    """
    _, pixels, channels = nodes.shape
    tile = tile_of(pixels, channels)
    blocks = ceil_div(channels, tile.k)
    splits = min(tile.count, triton.next_power_of_2(ceil_div(PROGRAMS, len(rows) * blocks)))
    partial = planes.new_empty(len(rows), splits, 2, channels, dtype=sum_type(planes.dtype))
    launch(
        _sums_kernel, (len(rows), splits, blocks),
        grads, tuple(inputs), nodes, planes, *statistics, table, gates, partial, *coefficients, gate_grads, idle,
        counters, pixels, tile.count, splits, rows.start, node, len(idle), C=channels, M=tile.m, K=tile.k,
        T=tiles_at_once(splits, tile.k, 1024), G=triton.next_power_of_2(max(1, len(idle))), TRAINING=training,
        SUM=tile.sums(nodes.dtype),
    )  # fmt: skip


def shared_gradient(
    grads: Tensor,
    planes: Tensor,
    coefficients: Tensor,
    gates: Tensor,
    pool_rows: Tensor,
    maxima: int,
    state_rows: Tensor,
    pool_grads: Tensor,
    before: Tensor | None,
    out: Tensor,
) -> None:
    """Write the gradients of a state's pools, and where it has skip connections, a sum with that through them.

    Args:
        grads: gradients of the nodes, ``(node, m, c)``.
        coefficients: ``a``, ``b`` and ``s`` at every place, ``(3, place, c)``.
        gates: flattened; terms whose gate is 0 are skipped.
        pool_rows, state_rows: the terms that come from this state, ``(r, 6)`` each; of the pooled ones, the ``maxima``
            max-pooled ones first.
        pool_grads: of the max-pooled and the average-pooled state, ``(2, m, c)``, written.
        before: what the gradient through skip connections is added to, ``(m, c)``, maybe ``out``; ``None`` for 0.
        out: gradient of the state, ``(m, c)``, written where there are skip connections.
    """
    pixels, channels = planes.shape[1:]
    tile = many_tiles_of(pixels, channels)
    a, b, s = coefficients
    launch(
        _shared_gradient_kernel, (tile.count, ceil_div(channels, tile.k)),
        grads, planes, a, b, s, gates, pool_rows, state_rows, pool_grads, out if before is None else before, out,
        pixels, maxima, len(pool_rows), len(state_rows),
        C=channels, ADD=before is not None, M=tile.m, K=tile.k, SUM=tile.sums(planes.dtype),
    )  # fmt: skip
