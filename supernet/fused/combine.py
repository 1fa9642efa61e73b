"""Fused nodes: a node is the gated sum of what enters it, normalized on the way, in one pass.

A *term* is what one candidate of one incoming edge delivers: a plane or a pooled state, which is normalized, or the
state itself. Forward: ``node = sum of gate rho (y - mean)`` and of ``gate x``. Backward: one pass over the node's
gradient ``g`` and its terms gives the sums that BatchNorm's backward needs, and with them the gates' gradients.

Axes: ``r`` row of a table of terms, ``m`` pixel of the batch, ``c`` channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.launch import ceil_div, launch, sum_type, tile_of

TERM_COLUMNS = ("form", "place", "state", "plane", "gate", "node")
"""A table of terms is ``(r, 6)``, int32. Of each: 0 for a plane that is normalized, 1 for a state as it is, 2 for a
plane as it is; the place of its statistics and coefficients; the state it is: a node's number, or -1 - i for the
i-th input;
its plane, -1 for a state; the place of its gate in the flattened gates; the node it enters."""


@triton.jit
def _term(inputs, nodes, planes, mean, rstd, table, row, at, mask, k, inside_k, C, PIXELS, SUM: tl.constexpr):
    """What a term delivers before its gate, a tile ``(m, c)``."""
    form, place = tl.load(table + row * 6), tl.load(table + row * 6 + 1)
    state, plane = tl.load(table + row * 6 + 2), tl.load(table + row * 6 + 3)
    z = tl.zeros((at.shape[0], at.shape[1]), SUM)
    if form != 1:
        z = tl.load(planes + plane.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
        if form == 0:
            average = tl.load(mean + place * C + k, mask=inside_k, other=0.0).to(SUM)
            scale = tl.load(rstd + place * C + k, mask=inside_k, other=0.0).to(SUM)
            z = tl.where(mask, (z - average[None, :]) * scale[None, :], 0.0)
    elif state >= 0:
        z = tl.load(nodes + state.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
    for which in tl.static_range(len(inputs)):
        if (form == 1) & (state == -1 - which):
            z = tl.load(inputs[which] + at, mask=mask, other=0.0).to(SUM)
    return z


@triton.jit
def _combine_kernel(
    out, inputs, nodes, planes, mean, rstd, table, gates, PIXELS, FIRST, LAST,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    tile, block = tl.program_id(0), tl.program_id(1)
    m = tile * M + tl.arange(0, M)
    k = block * K + tl.arange(0, K)
    inside_k = k < C
    mask = (m < PIXELS)[:, None] & inside_k[None, :]
    at = m[:, None] * C + k[None, :]
    total = tl.zeros((M, K), SUM)
    for row in range(FIRST, LAST):
        gate = tl.load(gates + tl.load(table + row * 6 + 4)).to(SUM)
        if gate != 0:
            total += gate * _term(inputs, nodes, planes, mean, rstd, table, row, at, mask, k, inside_k, C, PIXELS, SUM)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _sums_kernel(
    grads, inputs, nodes, planes, mean, rstd, table, gates, partial, PIXELS, TILES, FIRST, LAST, NODE,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Sums over a tile of the node's gradient ``g``, and of ``g z`` for each term ``z``."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m = tile * M + tl.arange(0, M)
    k = block * K + tl.arange(0, K)
    inside_k = k < C
    mask = (m < PIXELS)[:, None] & inside_k[None, :]
    at = m[:, None] * C + k[None, :]
    g = tl.load(grads + NODE * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
    whole = tl.sum(g, 0)
    for row in range(FIRST, LAST):
        gate = tl.load(gates + tl.load(table + row * 6 + 4))
        if gate != 0:
            z = _term(inputs, nodes, planes, mean, rstd, table, row, at, mask, k, inside_k, C, PIXELS, SUM)
            to = partial + (((row - FIRST) * TILES + tile) * 2) * C + k
            tl.store(to, whole, mask=inside_k)
            tl.store(to + C, tl.sum(g * z, 0), mask=inside_k)


@triton.jit
def _shared_gradient_kernel(
    grads, planes, a, b, s, gates, pool_rows, state_rows, pool_grads, out, PIXELS, MAXIMA, POOLS, STATES,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Gradients of what the edges that leave a state share: both pools, and the state where it passes unchanged.

    Added to ``out`` is what the state gets back where it passes unchanged.
    """
    tile, block = tl.program_id(0), tl.program_id(1)
    m = tile * M + tl.arange(0, M)
    k = block * K + tl.arange(0, K)
    inside_k = k < C
    mask = (m < PIXELS)[:, None] & inside_k[None, :]
    at = m[:, None] * C + k[None, :]
    largest = tl.zeros((M, K), SUM)
    average = tl.zeros((M, K), SUM)
    for row in range(0, POOLS):
        place, plane = tl.load(pool_rows + row * 6 + 1), tl.load(pool_rows + row * 6 + 3)
        node = tl.load(pool_rows + row * 6 + 5)
        if tl.load(gates + tl.load(pool_rows + row * 6 + 4)) != 0:
            g = tl.load(grads + node.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
            y = tl.load(planes + plane.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
            a_k = tl.load(a + place * C + k, mask=inside_k, other=0.0).to(SUM)
            b_k = tl.load(b + place * C + k, mask=inside_k, other=0.0).to(SUM)
            s_k = tl.load(s + place * C + k, mask=inside_k, other=0.0).to(SUM)
            part = a_k[None, :] * g + b_k[None, :] * y + s_k[None, :]
            if row < MAXIMA:
                largest += part
            else:
                average += part
    if POOLS > 0:
        tl.store(pool_grads + at, largest.to(pool_grads.dtype.element_ty), mask=mask)
        tl.store(pool_grads + PIXELS * C + at, average.to(pool_grads.dtype.element_ty), mask=mask)
    if STATES > 0:
        total = tl.load(out + at, mask=mask, other=0.0).to(SUM)
        for row in range(0, STATES):
            node = tl.load(state_rows + row * 6 + 5)
            gate = tl.load(gates + tl.load(state_rows + row * 6 + 4)).to(SUM)
            if gate != 0:
                total += gate * tl.load(grads + node.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)
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
        table: of terms, ``(r, 6)``; ``rows`` are the node's.
        gates: flattened; terms whose gate is 0 are left out, whatever they hold.
    """
    _, pixels, channels = nodes.shape
    tile = tile_of(pixels, channels)
    launch(
        _combine_kernel, (tile.count, ceil_div(channels, tile.k)),
        out, tuple(inputs), nodes, planes, *statistics, table, gates, pixels, rows.start, rows.stop,
        C=channels, M=tile.m, K=tile.k, SUM=tile.sums(nodes.dtype),
    )  # fmt: skip


def combine_sums(
    grads: Tensor,
    inputs: Sequence[Tensor],
    nodes: Tensor,
    planes: Tensor,
    statistics: tuple[Tensor, Tensor],
    table: Tensor,
    rows: range,
    node: int,
    gates: Tensor,
) -> Tensor:
    """Sums of ``g`` and ``g z`` of each tile for a node's terms, ``(r, tiles, 2, c)``; ``grads`` is ``(node, m, c)``.

    Of a term whose gate is 0 nothing is written.
    """
    _, pixels, channels = nodes.shape
    tile = tile_of(pixels, channels)
    partial = planes.new_empty(len(rows), tile.count, 2, channels, dtype=sum_type(planes.dtype))
    launch(
        _sums_kernel, (tile.count, ceil_div(channels, tile.k)),
        grads, tuple(inputs), nodes, planes, *statistics, table, gates, partial, pixels, tile.count,
        rows.start, rows.stop, node, C=channels, M=tile.m, K=tile.k, SUM=tile.sums(nodes.dtype),
    )  # fmt: skip
    return partial


def shared_gradient(
    grads: Tensor,
    planes: Tensor,
    coefficients: Tensor,
    gates: Tensor,
    pool_rows: Tensor,
    maxima: int,
    state_rows: Tensor,
    pool_grads: Tensor,
    out: Tensor,
) -> None:
    """Gradients of a state's pools, ``pool_grads``, ``(2, m, c)``, and, added to ``out``, of the state where it passes.

    Args:
        grads: of the nodes, ``(node, m, c)``.
        coefficients: ``(3, place, c)``.
        pool_rows, state_rows: the terms that come from this state; of the pooled ones, the ``maxima`` first.
    """
    pixels, channels = planes.shape[1:]
    tile = tile_of(pixels, channels)
    a, b, s = coefficients
    launch(
        _shared_gradient_kernel, (tile.count, ceil_div(channels, tile.k)),
        grads, planes, a, b, s, gates, pool_rows, state_rows, pool_grads, out, pixels, maxima, len(pool_rows),
        len(state_rows), C=channels, M=tile.m, K=tile.k, SUM=tile.sums(planes.dtype),
    )  # fmt: skip
