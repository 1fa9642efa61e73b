"""Launches of the CUDA kernels that compute nodes of 16-bit numbers, and the sums that their gradients need.

Each function computes the same as that of its name in ``supernet.fused.combine``; its definition stands in
``supernet.fused.naive``. The kernels stand in ``nodes.cuh``.

Axes: as in ``supernet.fused.combine``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from supernet.fused.cuda import library
from supernet.fused.cuda.convs import CHANNELS, TYPES
from supernet.fused.cuda.tiles import THREADS
from supernet.fused.handling import CudaLaunch
from supernet.fused.launch import ceil_div

INPUTS = 2
"""Input states that the kernels can read, at most."""

TERMS = 3
"""Terms of a block that sums over pixels, as the kernel has them: the node's gradient is read once for all of them."""

BLOCKS = 384
"""Blocks that fill a large GPU: three fit on a multiprocessor."""


def fits(channels: int, storage: torch.dtype, inputs: int, terms: int, shared: int) -> bool:
    """Return whether the kernels compute a graph's nodes.

    Args:
        inputs: number of input states.
        terms: most terms of a node.
        shared: bytes of shared memory that a block may use.
    """
    return channels in CHANNELS and storage in TYPES and inputs <= INPUTS and _shared_bytes(terms, channels) <= shared


def combine_forward(
    out: Tensor | None,
    beside: Tensor | None,
    inputs: Sequence[Tensor],
    nodes: Tensor,
    planes: Tensor,
    statistics: tuple[Tensor, Tensor],
    table: Tensor,
    rows: range,
    gates: Tensor,
) -> None:
    """Compute a node; see ``combine.combine_forward``."""
    _, pixels, channels = planes.shape
    width = channels if beside is None else beside.stride(0)
    tensors = *_two(inputs), nodes, planes, *statistics, table, gates, out, beside
    arguments = *tensors, *map(ctypes.c_int, (pixels, rows.start, rows.stop, width))
    blocks, shared = ceil_div(pixels * channels // 8, THREADS), _shared_bytes(len(rows), channels)
    _launch("combine", planes, (blocks, 1, 1), shared, arguments)


def combine_coefficients(
    grads: Tensor,
    arriving: Tensor | None,
    inputs: Sequence[Tensor],
    nodes: Tensor,
    planes: Tensor,
    statistics: tuple[Tensor, Tensor],
    table: Tensor,
    rows: range,
    gates: Tensor,
    coefficients: Tensor,
    gate_grads: Tensor,
    idle: Tensor,
    counters: Tensor,
    training: bool,
) -> None:
    """Write the coefficients of a node's terms, and their gates' gradients; see ``combine.combine_coefficients``."""
    _, pixels, channels = planes.shape
    groups, steps = ceil_div(len(rows), TERMS), ceil_div(pixels * channels // 8, THREADS)
    splits = min(steps, ceil_div(BLOCKS, groups))
    partial = planes.new_empty(groups, splits, 1 + TERMS, channels, dtype=torch.float32)
    width = channels if arriving is None else arriving.stride(0)
    tensors = grads, arriving, *_two(inputs), nodes, planes, *statistics, table, gates, partial, *coefficients
    numbers = map(ctypes.c_int, (pixels, rows.start, rows.stop, width, len(idle), int(training)))
    _launch("combine_sums", planes, (groups, splits, 1), 0, (*tensors, gate_grads, idle, counters, *numbers))


def _two(inputs: Sequence[Tensor]) -> tuple[Tensor | None, Tensor | None]:
    first, second, *_ = [*inputs, None, None]
    return first, second


def _shared_bytes(terms: int, channels: int) -> int:
    """Return the bytes of shared memory that a node's factors, parts and constants, and its list of terms need."""
    return 4 * (terms * channels + THREADS + channels) + 12 * terms


def _launch(name: str, like: Tensor, grid: tuple[int, int, int], shared: int, arguments: Sequence[Any]) -> None:
    definitions = {"C": like.shape[2], "FLOAT16": int(like.dtype == torch.float16), "FORWARD": int(name == "combine")}
    given = CudaLaunch(name, "nodes.cuh", tuple(definitions.items()), grid, THREADS, shared, tuple(arguments))
    library.launch(given, like.device)
