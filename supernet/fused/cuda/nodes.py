"""Launches of the CUDA kernels that compute nodes of 16-bit numbers, and the sums that their gradients need.

Each function computes the same as that of its name in ``supernet.fused.combine``; its definition stands in
``supernet.fused.naive``. The kernels stand in ``nodes.cuh`` and ``node_sums.cuh``. The pools of states that are as
large as a node are not read but formed from the states (``pooled.cuh``).

Axes: as in ``supernet.fused.combine``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest

import torch
from torch import Tensor

from supernet.fused.combine import Groups, Terms
from supernet.fused.cuda.convs import CHANNELS, MAX_STATES, TYPES, both, launch
from supernet.fused.cuda.tiles import BLOCKS, THREADS
from supernet.fused.launch import ceil_div, table_on
from supernet.fused.rows import STATE, TermRow

TERMS = 3
"""Terms of a group, as the kernels have them: a block that sums over pixels reads the node's gradient once for all."""

SHARES = (2, 4)
"""Among how many groups of threads a block may divide the terms of a node."""


def fits(channels: int, storage: torch.dtype, inputs: int, terms: int, shared: int) -> bool:
    """Return whether the kernels compute a graph's nodes.

    Args:
        inputs: number of input states.
        terms: most terms of a node.
        shared: bytes of shared memory that a block may use.
    """
    known = channels in CHANNELS and storage in TYPES and inputs <= MAX_STATES
    return known and _shared_bytes(ceil_div(terms, TERMS), 0, (0, 0), channels, THREADS // 2) <= shared


def forms_pools(size: tuple[int, int], channels: int, edges: int, terms: int, shared: int) -> bool:
    """Return whether the kernels that compute a graph's nodes form the pools of states that are as large.

    Args:
        size: rows and columns of a node.
        edges, terms: most groups of edges and most terms of a node.
        channels, shared: as of ``fits``.
    """
    (h, w), patches = size, THREADS // SHARES[0]
    if h & (h - 1) or w & (w - 1) or h < 2 or w * channels // 8 > patches:
        return False
    needed = _shared_bytes(edges + ceil_div(terms, TERMS), edges, size, channels, patches), _sum_bytes(size, channels)
    return max(needed) <= shared


def groups_of(terms: Sequence[TermRow], rows: range, pools: int, size: tuple[int, int], device: torch.device) -> Groups:
    """Return a node's rows in groups.

    Args:
        terms: of all nodes.
        rows: of the node.
        pools: number of the first plane that is a pool to be formed; maxima and averages take turns from there.
        size: rows and columns of a node.
    """
    of_edges, others = _groups(tuple(terms[rows.start : rows.stop]), rows.start, pools)
    return Groups(table_on(of_edges + others, device), len(of_edges), size if of_edges else (0, 0))


@lru_cache(maxsize=4096)
def _groups(terms: tuple[TermRow, ...], first: int, pools: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Return the groups of edges whose pools are formed, and those of all other terms, the first of which is ``first``
    in the table."""
    pooled: dict[int, tuple[list[int], ...]] = {}
    for number, term in enumerate(terms, first):
        if term.plane >= pools:
            pooled.setdefault(term.state, ([], [], []))[(term.plane - pools) % 2].append(number)
    others: list[int] = []
    for number, term in enumerate(terms, first):
        if term.form == STATE and term.state in pooled:
            pooled[term.state][2].append(number)
        elif term.plane < pools:
            others.append(number)
    of_edges = tuple(group for lists in pooled.values() for group in zip_longest(*lists, fillvalue=-1))
    return of_edges, tuple(zip_longest(*(iter(others),) * TERMS, fillvalue=-1))


def combine_forward(out: Tensor | None, beside: Tensor | None, terms: Terms) -> None:
    """Compute a node; see ``combine.combine_forward``."""
    inputs, *tensors = terms.tensors
    _, pixels, channels = terms.planes.shape
    groups = terms.groups
    assert groups is not None
    pieces, row = pixels * channels // 8, groups.size[1] * channels // 8
    possible = [shares for shares in SHARES if shares * row <= THREADS]
    shares = next((n for n in possible if ceil_div(pieces * n, 2 * THREADS) >= BLOCKS), possible[-1])
    patches = THREADS // shares
    width = channels if beside is None else beside.stride(0)
    numbers = map(ctypes.c_int, (pixels, groups.edges, len(groups.table), width))
    arguments = *both(inputs), *tensors, groups.table, out, beside, *numbers
    shared = _shared_bytes(len(groups.table), groups.edges, groups.size, channels, patches)
    constants = {"FORWARD": 1, "PATCHES": patches, "GROUPS": shares} | _sizes(groups)
    launch("combine", terms.planes, channels, (ceil_div(pieces, 2 * patches), 1, 1), shared, arguments, **constants)


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
    """Write the coefficients of a node's terms, and their gates' gradients; see ``combine.combine_coefficients``."""
    inputs, *tensors = terms.tensors
    _, pixels, channels = terms.planes.shape
    groups = terms.groups
    assert groups is not None
    number, steps = len(groups.table), ceil_div(pixels * channels // 8, 2 * THREADS)
    splits = min(steps, ceil_div(BLOCKS, number))
    partial = terms.planes.new_empty(number, splits, 1 + TERMS, channels, dtype=torch.float32)
    width = channels if arriving is None else arriving.stride(0)
    numbers = map(ctypes.c_int, (pixels, groups.edges, width, len(idle), int(training)))
    given = grads, arriving, *both(inputs), *tensors, groups.table, partial, *coefficients, gate_grads, idle, counters
    shared, constants = _sum_bytes(groups.size, channels), {"FORWARD": 0, "PATCHES": THREADS} | _sizes(groups)
    launch("combine_sums", terms.planes, channels, (number, splits, 1), shared, (*given, *numbers), **constants)


def _sizes(groups: Groups) -> dict[str, int]:
    return dict(zip(("SIZE_H", "SIZE_W"), groups.size))


def _tile_bytes(size: tuple[int, int], channels: int, patches: int) -> int:
    """Return the bytes of shared memory of a state's tile, as ``pooled.cuh`` has it."""
    (h, w), lines = size, 2 * patches * 8 // (size[1] * channels)
    images, pitch = max(1, lines // h), channels * 2
    if patches == THREADS and channels == 64:
        pitch += 64
    return ((lines + 2 * images) * (w + 1) + 1) * pitch


def _shared_bytes(groups: int, edges: int, size: tuple[int, int], channels: int, patches: int) -> int:
    """Return the bytes of shared memory of a node: for tiles of states, in which the threads' sums follow, and for
    the terms' factors and constants and their list."""
    tiles = edges * _tile_bytes(size, channels, patches) if edges else 0
    slots = groups * TERMS
    return max(tiles, THREADS * 64) + 4 * (slots + THREADS // 32) * channels + 12 * slots


def _sum_bytes(size: tuple[int, int], channels: int) -> int:
    """Return the bytes of shared memory of sums over pixels: for two tiles of a state, in which the sums follow."""
    tiles = 2 * _tile_bytes(size, channels, THREADS) if size[1] else 0
    return max(tiles, 4 * (THREADS * (1 + TERMS) + THREADS))
