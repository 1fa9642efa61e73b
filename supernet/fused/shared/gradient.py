"""The gradient of a state through what its edges share: its pools, and itself where they skip.

One pass over the gradients of the nodes that its edges lead to gives the gradients of its two pools, and the sum of
those that pass through skip connections. The definition is ``naive.shared_gradient``. ``supernet.fused.cuda.shared``
has a kernel for 16-bit numbers that goes on to the state itself.

Axes: ``e`` edge that leaves a state, ``m`` pixel of the batch, ``c`` channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.launch import ceil_div, launch, many_tiles_of
from supernet.fused.tables import SHARED_AVERAGE, SHARED_COLUMNS, SHARED_GATE, SHARED_MAXIMUM, SHARED_NODE
from supernet.fused.tiles import channels_of, load_plane, offsets_of, pixels_of


@triton.jit
def _pool_coefficients(a, b, s, place, k, inside_k, C):
    """Return the coefficients of an edge's pool, ``(c,)`` each; 0 for a place below 0."""
    at = tl.maximum(place, 0) * C + k
    mask = inside_k & (place >= 0)
    return (
        tl.load(a + at, mask=mask, other=0.0),
        tl.load(b + at, mask=mask, other=0.0),
        tl.load(s + at, mask=mask, other=0.0),
    )


@triton.jit
def _shared_gradient_kernel(
    grads, pools, a, b, s, gates, table, pool_grads, before, out, PIXELS, EDGES, WIDTH,
    C: tl.constexpr, POOLS: tl.constexpr, SKIPS: tl.constexpr, ADD: tl.constexpr, M: tl.constexpr, K: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    """Write the gradients of a state's two pools, and in ``out`` what was ``before`` plus that of its skips. What the
    coefficients of all edges' pools multiply alike is summed first."""
    tile, block, state = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    m, valid = pixels_of(tile, PIXELS, M)
    k, inside_k = channels_of(block, C, K)
    at, mask = offsets_of(m, valid, k, inside_k, C)
    largest = tl.zeros((M, K), SUM)
    average = tl.zeros((M, K), SUM)
    total = tl.zeros((M, K), SUM)
    of_largest = tl.zeros((K,), SUM)
    of_average = tl.zeros((K,), SUM)
    to_largest = tl.zeros((K,), SUM)
    to_average = tl.zeros((K,), SUM)
    for edge in range(0, EDGES):
        row = table + (state * EDGES + edge) * SHARED_COLUMNS
        node = tl.load(row + SHARED_NODE)
        g = load_plane(grads, tl.maximum(node, 0), at, mask & (node >= 0), PIXELS, C, SUM)
        if POOLS:
            a_k, b_k, s_k = _pool_coefficients(a, b, s, tl.load(row + SHARED_MAXIMUM), k, inside_k, C)
            largest += a_k[None, :] * g
            of_largest += b_k
            to_largest += s_k
            a_k, b_k, s_k = _pool_coefficients(a, b, s, tl.load(row + SHARED_AVERAGE), k, inside_k, C)
            average += a_k[None, :] * g
            of_average += b_k
            to_average += s_k
        if SKIPS:
            gate = tl.load(row + SHARED_GATE)
            total += tl.load(gates + gate, mask=gate >= 0, other=0.0).to(SUM) * g
    if POOLS:
        pools += state * 2 * PIXELS * C
        pool_grads += state * 2 * PIXELS * C
        y = tl.load(pools + at, mask=mask, other=0.0).to(SUM)
        largest += of_largest[None, :] * y + to_largest[None, :]
        tl.store(pool_grads + at, largest.to(pool_grads.dtype.element_ty), mask=mask)
        y = tl.load(pools + PIXELS * C + at, mask=mask, other=0.0).to(SUM)
        average += of_average[None, :] * y + to_average[None, :]
        tl.store(pool_grads + PIXELS * C + at, average.to(pool_grads.dtype.element_ty), mask=mask)
    if SKIPS:
        to, begin = out[0], before[0]
        for which in tl.static_range(1, len(out)):
            to, begin = tl.where(state == which, out[which], to), tl.where(state == which, before[which], begin)
        if ADD:
            total += tl.load(begin + m[:, None] * WIDTH + k[None, :], mask=mask, other=0.0).to(SUM)
        tl.store(to + at, total.to(out[0].dtype.element_ty), mask=mask)


def shared_gradient(
    grads: Tensor,
    pools: Tensor | None,
    coefficients: Tensor,
    gates: Tensor,
    table: Tensor,
    pool_grads: Tensor | None,
    before: Sequence[Tensor] | None,
    outs: Sequence[Tensor],
) -> None:
    """Write the gradients of states' pools, and where they have skip connections, sums with those through these.

    Args:
        grads: gradients of the nodes, ``(node, m, c)``.
        pools: of each state the max-pooled and the average-pooled one, ``(2 state, m, c)``; ``None`` where there are
            none.
        coefficients: ``a``, ``b`` and ``s`` at every place, ``(3, place, c)``.
        gates: flattened.
        table: the edges of all states, as many of each, ``(state * e, 4)``, rows as ``supernet.fused.rows.SharedRow``.
        pool_grads: like ``pools``, written; ``None`` where there are no pools.
        before: what is added to the gradients through skip connections, ``(m, c)`` each, with any distance from pixel
            to pixel, the same for all; ``None`` for 0.
        outs: gradients of the states, ``(m, c)`` each, written; none where there are no skip connections.
    """
    _, pixels, channels = grads.shape
    tile, states = many_tiles_of(pixels, channels), len(outs) if pools is None else len(pools) // 2
    begin = tuple(outs if before is None else before)
    launch(
        _shared_gradient_kernel, (tile.count, ceil_div(channels, tile.k), states),
        grads, grads if pools is None else pools, *coefficients, gates, table,
        grads if pool_grads is None else pool_grads, begin or (grads,),
        tuple(outs) or (grads,), pixels, len(table) // states, begin[0].stride(0) if begin else channels, C=channels,
        POOLS=pool_grads is not None, SKIPS=len(outs) > 0, ADD=before is not None, M=tile.m, K=tile.k,
        SUM=tile.sums(grads.dtype),
    )  # fmt: skip
