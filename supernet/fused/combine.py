"""Fused nodes: a node is the gated sum of its terms, which are normalized on the way, in one pass.

A *term* is the output of one candidate of one incoming edge: a plane or a pooled state, which is normalized, or the
state itself. Forward: ``node = sum of gate rho (y - mean)`` and of ``gate x``. Backward: one pass over the node's
gradient ``g`` and its terms gives the sums that BatchNorm's backward needs; the last program of a term makes of them
its coefficients and its gate's gradient. The definitions are ``naive.combine_forward``, ``naive.combine_sums`` and
``naive.finalize_coefficients``.

Axes: ``r`` row of a term table, ``m`` pixel of the batch, ``c`` channel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
    TERM_PLACE,
    TERM_PLANE,
    TERM_STATE,
    entry,
)
from supernet.fused.tiles import channels_of, is_last, offsets_of, pixels_of

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
    out, beside, inputs, nodes, planes, mean, rstd, table, gates, PIXELS, FIRST, LAST, WIDTH,
    C: tl.constexpr, KEPT: tl.constexpr, BESIDE: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
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
    node = total.to(planes.dtype.element_ty)
    if KEPT:
        tl.store(out + at, node, mask=mask)
    if BESIDE:
        tl.store(beside + m[:, None] * WIDTH + k[None, :], node, mask=mask)


@triton.jit
def _sums_kernel(
    grads, arriving, inputs, nodes, planes, mean, rstd, table, gates, partial, a, b, s, gate_grads, idle, counters,
    PIXELS, TILES, SPLITS, FIRST, WIDTH, IDLE,
    C: tl.constexpr, COPY: tl.constexpr, M: tl.constexpr, K: tl.constexpr, T: tl.constexpr, G: tl.constexpr,
    TRAINING: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Sum over a split of the pixels; the last program of a row writes what follows from its sums. With ``COPY``, the
    node's gradient is read where it arrives, and the programs of the first row keep it in ``grads``."""
    row = FIRST + tl.program_id(0)
    gate_at = entry(table, row, TERM_GATE)
    w = tl.load(gates + gate_at)
    last = tl.program_id(1) + tl.program_id(2) == 0
    if COPY and tl.program_id(0) == 0:
        _copy_split(arriving, grads, PIXELS, TILES, SPLITS, WIDTH, C, M, K)
    if w != 0:
        _sums_of_split(
            arriving, inputs, nodes, planes, mean, rstd, table, partial, row, PIXELS, TILES, SPLITS, WIDTH, C, M, K, SUM
        )  # fmt: skip
        last = is_last(counters + tl.program_id(0), SPLITS * tl.num_programs(2))
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
def _copy_split(arriving, grads, PIXELS, TILES, SPLITS, WIDTH, C: tl.constexpr, M: tl.constexpr, K: tl.constexpr):
    """Copy the node's gradient in a split of the pixels."""
    k, inside_k = channels_of(tl.program_id(2), C, K)
    for tile in range(tl.program_id(1), TILES, SPLITS):
        m, valid = pixels_of(tile, PIXELS, M)
        at, mask = offsets_of(m, valid, k, inside_k, C)
        tl.store(grads + at, tl.load(arriving + m[:, None] * WIDTH + k[None, :], mask=mask, other=0.0), mask=mask)


@triton.jit
def _sums_of_split(
    grads, inputs, nodes, planes, mean, rstd, table, partial, row, PIXELS, TILES, SPLITS, WIDTH,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Sum the node's gradient ``g``, and ``g z`` for a term ``z``, over a split of the pixels."""
    split, block = tl.program_id(1), tl.program_id(2)
    k, inside_k = channels_of(block, C, K)
    start = _address(inputs, nodes, planes, table, row, C, PIXELS)
    average, scale = _moments(mean, rstd, table, row, k, inside_k, C)
    whole = tl.zeros((M, K), SUM)
    product = tl.zeros((M, K), SUM)
    for tile in range(split, TILES, SPLITS):
        m, valid = pixels_of(tile, PIXELS, M)
        at, mask = offsets_of(m, valid, k, inside_k, C)
        g = tl.load(grads + m[:, None] * WIDTH + k[None, :], mask=mask, other=0.0).to(SUM)
        z = tl.load(start + at, mask=mask, other=0.0).to(SUM) - average[None, :]
        whole += g
        product += g * z
    to = partial + ((tl.program_id(0) * SPLITS + split) * 2) * C + k
    tl.store(to, tl.sum(whole, 0), mask=inside_k)
    tl.store(to + C, tl.sum(product, 0) * scale, mask=inside_k)


class Groups(NamedTuple):
    """Rows of a node in groups: those of an edge whose pools are formed from its state, and then all others.

    Attributes:
        table: numbers of rows in the table of terms, -1 where there is none, ``(group, 3)``, int32. Those of an edge:
            maximum, average, the state itself.
        edges: number of the edges.
        size: rows and columns of the states that are pooled; 0 and 0 where there are none.
    """

    table: Tensor
    edges: int
    size: tuple[int, int]


class Terms(NamedTuple):
    """The terms of a node, and what they are made of.

    Attributes:
        inputs: states given to the graph, each ``(m, c)``.
        nodes: states that it computed before, ``(node, m, c)``.
        planes: ``(plane, m, c)``.
        mean, rstd: of each place, ``(place, c)``.
        table: of all nodes, ``(r, 6)``, rows as ``supernet.fused.rows.TermRow``.
        gates: flattened; terms whose gate is 0 are skipped, whatever they hold.
        rows: the node's, in the table.
        groups: the same rows as the CUDA kernels take them, where these compute the node.
    """

    inputs: tuple[Tensor, ...]
    nodes: Tensor
    planes: Tensor
    mean: Tensor
    rstd: Tensor
    table: Tensor
    gates: Tensor
    rows: range
    groups: Groups | None = None

    @property
    def tensors(self) -> tuple[Any, ...]:
        """What the kernels read, in the order of their parameters."""
        return self[:7]


def combine_forward(out: Tensor | None, beside: Tensor | None, terms: Terms) -> None:
    """Compute a node.

    Args:
        out: the node, ``(m, c)``, written, if given.
        beside: the node among others whose channels lie side by side, ``(m, c)``, written, if given.
    """
    planes, rows = terms.planes, terms.rows
    _, pixels, channels = planes.shape
    tile, width = many_tiles_of(pixels, channels), channels if beside is None else beside.stride(0)
    launch(
        _combine_kernel, (tile.count, ceil_div(channels, tile.k)),
        planes if out is None else out, planes if beside is None else beside, *terms.tensors, pixels, rows.start,
        rows.stop, width, C=channels, KEPT=out is not None, BESIDE=beside is not None, M=tile.m, K=tile.k,
        SUM=tile.sums(planes.dtype),
    )  # fmt: skip


def combine_coefficients(
    grads: Tensor,
    arriving: Tensor | None,
    terms: Terms,
    coefficients: Tensor,
    gate_grads: Tensor,
    idle: Tensor,
    counters: Tensor,
    training: bool,
) -> None:
    """Write the coefficients of a node's terms, and their gates' gradients, from the sums over all pixels.

    Args:
        grads: gradient of the node, ``(m, c)``; written where it is that which is ``arriving``.
        arriving: the gradient of a node that no edge leaves, ``(m, c)``, with any distance from pixel to pixel.
        coefficients: ``a``, ``b``, ``s``, ``(3, place, c)``, written; of a term whose gate is 0, 0.
        gate_grads: like ``gates``, written at the terms' gates; 0 is written at those that are ``idle``, ``(i,)``.
        counters: zeros, int32, one for each row of the node; zeros again afterwards.
        training: whether the statistics are the batch's own, so that the gradient passes through them.
    """
    planes, rows = terms.planes, terms.rows
    _, pixels, channels = planes.shape
    tile, given = tile_of(pixels, channels), grads if arriving is None else arriving
    blocks = ceil_div(channels, tile.k)
    splits = min(tile.count, triton.next_power_of_2(ceil_div(PROGRAMS, len(rows) * blocks)))
    partial = planes.new_empty(len(rows), splits, 2, channels, dtype=sum_type(planes.dtype))
    launch(
        _sums_kernel, (len(rows), splits, blocks),
        grads, given, *terms.tensors, partial, *coefficients, gate_grads, idle, counters, pixels, tile.count, splits,
        rows.start, given.stride(0), len(idle), C=channels, COPY=arriving is not None, M=tile.m, K=tile.k,
        T=tiles_at_once(splits, tile.k, 1024), G=triton.next_power_of_2(max(1, len(idle))), TRAINING=training,
        SUM=tile.sums(planes.dtype),
    )  # fmt: skip
