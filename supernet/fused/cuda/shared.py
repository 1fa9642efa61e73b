"""Launches of the CUDA kernel that computes gradients of states through their pools and skip connections.

For 16-bit numbers it does the work of ``supernet.fused.shared.gradient`` and of ``supernet.fused.shared.pools`` in the
backward pass: gradients of pooled states stay in shared memory, and no pooled state is read. Its definition is that of
``naive.shared_gradient`` and of ``naive.pools_backward`` together. The kernel stands in ``shared.cuh``.

Axes: as in ``supernet.fused.shared.gradient``; ``b`` batch, ``h w`` space.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from torch import Tensor

from supernet.fused.cuda.convs import both, launch
from supernet.fused.cuda.tiles import Shape, shape_of, tiles_of

THREADS = 512
"""Threads of a block."""

CHANNELS = 16
"""Channels of a block; a thread has 4 of them."""

RUN = 2
"""Windows below one another of a thread, where that leaves enough blocks."""

ENOUGH = 256
"""Blocks that nearly fill a large GPU: two on each of 132 multiprocessors."""


def fits(size: Sequence[int], stride: int, edges: int, shared: int) -> bool:
    """Return whether the kernel computes the gradients of states of a graph whose nodes CUDA kernels compute.

    Args:
        size: rows and columns of the states.
        stride: of the pools.
        edges: that leave a state.
        shared: bytes of shared memory that a block may use.
    """
    h, w = size
    if h & (h - 1) or w & (w - 1) or stride not in (1, 2) or min(h, w) < stride or 4 * w // stride > THREADS:
        return False
    return all(_shared_bytes(_shape((1, h, w), stride, run), stride, edges) <= shared for run in _runs(h, stride))


def pools_and_skips(
    states: Sequence[Tensor],
    where: Tensor,
    grads: Tensor,
    coefficients: Tensor,
    gates: Tensor,
    table: Tensor,
    before: Sequence[Tensor] | None,
    outs: Sequence[Tensor],
    stride: int,
    *,
    skips: bool,
) -> None:
    """Write the gradients of states through their pools and skip connections, added to others.

    Args:
        states: at most ``convs.MAX_STATES``, ``(b, h, w, c)``, contiguous.
        where: positions of the maxima in their windows, 0 to 8, ``(state, m, c)``, uint8.
        grads: gradients of the nodes, ``(node, m, c)``.
        coefficients: ``a``, ``b`` and ``s`` at every place, ``(3, place, c)``.
        gates: flattened.
        table: the edges of all states, as many of each, ``(state * e, 4)``, rows as ``supernet.fused.rows.SharedRow``.
        before: what the gradients are added to, ``(m, c)`` each, with any distance from pixel to pixel, a multiple of
            4, the same for all; maybe ``outs``; ``None`` for 0.
        outs: like ``states``, written.
        stride: of the pools, 1 or 2.
        skips: whether any edge has a skip connection, which with a stride of 2 is none.
    """
    assert stride == 1 or not skips
    *size, channels = states[0].shape
    edges, groups = len(table) // len(states), len(states) * channels // CHANNELS
    for run in _runs(size[1], stride):
        shape = _shape(size, stride, run)
        if groups * tiles_of(shape) >= ENOUGH:
            break
    width = channels if before is None else before[0].stride(0)
    images = both(states), both(before), both(outs)
    tensors = *images[0], where, grads, *coefficients, gates, table, *images[1], *images[2]
    arguments = *tensors, *map(ctypes.c_int, (shape.batch, width))
    constants = {"STRIDE": stride, "RUN": run, "EDGES": edges, "SKIPS": int(skips), "ADD": int(before is not None)}
    constants |= shape.constants
    grid, shared = (tiles_of(shape), channels // CHANNELS, len(states)), _shared_bytes(shape, stride, edges)
    launch("pools_and_skips", states[0], channels, grid, shared, arguments, THREADS, **constants)


def _runs(rows: int, stride: int) -> tuple[int, ...]:
    """Return how many windows below one another a thread may have."""
    return (RUN, 1) if stride == 1 and rows % RUN == 0 else (1,)


def _shape(size: Sequence[int], stride: int, run: int) -> Shape:
    return shape_of(size, stride, 1, THREADS * run * 4 // CHANNELS)


def _shared_bytes(shape: Shape, stride: int, edges: int) -> int:
    """Return the bytes of shared memory that a block needs: for its windows, and for the coefficients of edges."""
    over = 2 - stride
    windows = shape.images * (shape.rows + over + 1) * (shape.wo + 1) + over
    return windows * CHANNELS * 8 + (4 + 3 * edges) * CHANNELS * 4
