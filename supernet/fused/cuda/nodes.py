"""Launches of the CUDA kernels that compute nodes of 16-bit numbers, and the sums that their gradients need.

Each function computes the same as that of its name in ``supernet.fused.combine``; its definition stands in
``supernet.fused.naive``. The kernels stand in ``nodes.cuh``.

Axes: as in ``supernet.fused.combine``.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from supernet.fused.combine import Terms
from supernet.fused.cuda.convs import CHANNELS, MAX_STATES, TYPES, both, launch
from supernet.fused.cuda.tiles import BLOCKS, THREADS
from supernet.fused.launch import ceil_div

TERMS = 3
"""Terms of a block that sums over pixels, as the kernel has them: the node's gradient is read once for all of them."""


def fits(channels: int, storage: torch.dtype, inputs: int, terms: int, shared: int) -> bool:
    """Return whether the kernels compute a graph's nodes.

    Args:
        inputs: number of input states.
        terms: most terms of a node.
        shared: bytes of shared memory that a block may use.
    """
    known = channels in CHANNELS and storage in TYPES and inputs <= MAX_STATES
    return known and _shared_bytes(terms, channels) <= shared


def combine_forward(out: Tensor | None, beside: Tensor | None, terms: Terms) -> None:
    """Compute a node; see ``combine.combine_forward``."""
    inputs, *tensors, rows = terms
    _, pixels, channels = terms.planes.shape
    width = channels if beside is None else beside.stride(0)
    numbers = map(ctypes.c_int, (pixels, rows.start, rows.stop, width))
    blocks, shared = ceil_div(pixels * channels // 8, THREADS), _shared_bytes(len(rows), channels)
    arguments = *both(inputs), *tensors, out, beside, *numbers
    launch("combine", terms.planes, channels, (blocks, 1, 1), shared, arguments, FORWARD=1)


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
    inputs, *tensors, rows = terms
    _, pixels, channels = terms.planes.shape
    groups, steps = ceil_div(len(rows), TERMS), ceil_div(pixels * channels // 8, THREADS)
    splits = min(steps, ceil_div(BLOCKS, groups))
    partial = terms.planes.new_empty(groups, splits, 1 + TERMS, channels, dtype=torch.float32)
    width = channels if arriving is None else arriving.stride(0)
    numbers = map(ctypes.c_int, (pixels, rows.start, rows.stop, width, len(idle), int(training)))
    given = grads, arriving, *both(inputs), *tensors, partial, *coefficients, gate_grads, idle, counters, *numbers
    launch("combine_sums", terms.planes, channels, (groups, splits, 1), 0, given, FORWARD=0)


def _shared_bytes(terms: int, channels: int) -> int:
    """Return the bytes of shared memory that a node's factors, parts and constants, and its list of terms need."""
    return 4 * (terms * channels + THREADS + channels) + 12 * terms
