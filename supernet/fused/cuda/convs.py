"""Launches of the CUDA kernels that compute separable convolutions of 16-bit numbers, forward and backward.

Each function computes the same as that of its name in ``supernet.fused.conv_forward``, ``conv_backward`` and
``conv_weight_backward``; its definition is that of its name in ``supernet.fused.naive``. The kernels stand in the files
beside this one (``FILES``). A tile of images is read into shared memory once, normalized or as a plane's gradient is
formed, and every tap is read from there.

Axes: as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from supernet.fused.conv_weight_backward import Parts
from supernet.fused.cuda import library
from supernet.fused.cuda.tiles import (
    BLOCKS,
    PITCH,
    PIXELS,
    THREADS,
    bytes_of,
    pieces_of,
    rounds_of,
    shape_of,
    state_tiling_of,
    tiles_of,
    tiling_of,
)
from supernet.fused.dense import Kinds, groups_of, groups_on
from supernet.fused.handling import CudaLaunch
from supernet.fused.launch import ceil_div
from supernet.fused.rows import ConvRow
from supernet.fused.tables import table_of
from supernet.ops import BatchNorm

CHANNELS = (16, 32, 64)
TYPES = (torch.bfloat16, torch.float16)
LINE = 5
"""Warps of a block that computes weights' gradients, as the kernel has them."""

COPYING = 128
"""Threads of it that copy a tile."""

FILES = {
    "dense_weights": "dense_weights.cuh",
    "convs_forward": "convs.cuh",
    "half_gradient": "convs.cuh",
    "state_gradient": "state_gradient.cuh",
    "weight_gradients": "weight_gradients.cuh",
    "combine": "nodes.cuh",
    "combine_sums": "nodes.cuh",
}
"""Kernel -> its source."""

MAX_KINDS, MAX_KINDS_AT_ONCE = 64, 16
"""Kinds of convolutions of a graph and of a launch."""

MAX_STATES = 2
"""States that the first halves of a launch read."""

WEIGHT_BLOCKS = {1: 660, 2: 396}
"""Blocks that fill a large GPU, as of the gradients of weights: of one unit five fit on each of 132 multiprocessors, of
two units three."""

SUMS = 2 * THREADS * 4
"""Bytes of shared memory in which a block adds up two numbers of each thread."""


class _Weights(ctypes.Structure):
    tensors: tuple[Tensor, ...]
    _fields_ = [
        ("depthwise", ctypes.c_void_p * MAX_KINDS),
        ("pointwise", ctypes.c_void_p * MAX_KINDS),
        ("sides", ctypes.c_int * MAX_KINDS),
        ("factorized", ctypes.c_ulonglong),
    ]


class _Kinds(ctypes.Structure):
    tensors: tuple[Tensor, ...]
    _fields_ = [
        ("depthwise", ctypes.c_void_p * MAX_KINDS_AT_ONCE),
        ("pointwise", ctypes.c_void_p * MAX_KINDS_AT_ONCE),
        ("factorized", ctypes.c_ulonglong),
    ]


def fits(
    channels: int,
    storage: torch.dtype,
    inputs: Sequence[int],
    stride: int,
    kinds: Sequence[Kinds],
    shared: int,
) -> bool:
    """Return whether the kernels compute a graph's convolutions.

    Args:
        inputs: rows and columns of the input states.
        stride: of the edges that leave them.
        kinds: of each launch of the graph.
        shared: bytes of shared memory that a block may use.
    """
    if stride not in (1, 2) or inputs[0] % stride or inputs[1] % stride or not kinds:
        return False
    h, w = inputs[0] // stride, inputs[1] // stride
    if channels not in CHANNELS or storage not in TYPES or h & (h - 1) or w & (w - 1) or w > PIXELS:
        return False
    sides = [side for own in kinds for side in own.sides]
    weights = [weight for own in kinds for weight in (*own.depthwise, *own.pointwise)]
    if len(sides) > MAX_KINDS or max(len(own.sides) for own in kinds) > MAX_KINDS_AT_ONCE:
        return False
    if any(side > LINE or side % 2 == 0 for side in sides):
        return False
    if any(weight.dtype != torch.float32 or not weight.is_contiguous() for weight in weights):
        return False
    reach = max(own.reach for own in kinds)
    tiles = shape_of((1, *inputs), stride, reach), shape_of((1, h, w), 1, reach, 2 * PIXELS)
    state, _, keep = state_tiling_of((1, h, w), stride, reach, channels)
    needed = max(bytes_of(tile, 16) for tile in tiles) + 2 * PIXELS * PITCH
    return max(needed, bytes_of(state, keep)) <= shared


def dense_weights(rows: Sequence[ConvRow], kinds: Kinds, like: Tensor, *, transposed: bool) -> Tensor:
    """Return the matrices of each row's taps as the tensor cores take them, ``(r, t, block, c, k)``.

    A block has 16 input channels ``k``.

    Args:
        like: has the device and the type that the matrices are rounded to.
        transposed: whether they multiply gradients, on the way back.
    """
    channels, taps, count = kinds.pointwise[0].shape[2], kinds.taps, len(rows)
    blocks = channels // 16
    used, unused = count * taps, (64 // channels - 1) * taps + 2  # read beyond a group's last row, and its last tap
    dense = like.new_empty(used + unused, blocks, channels, 16)[:used].unflatten(0, (count, taps))
    given = _Weights()
    _point(given, kinds)
    given.sides[: len(kinds.sides)] = kinds.sides
    arguments = dense, table_of(rows, like.device), given
    launch("dense_weights", like, channels, (count, taps, 1), 0, arguments, TRANSPOSED=int(transposed))
    return dense


def convs_forward(
    states: Sequence[Tensor] | None,
    size: Sequence[int],
    stride: int,
    planes: Tensor,
    dense: Tensor,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    gates: Tensor,
    statistics: tuple[Tensor, Tensor, Tensor],
    counters: Tensor | None,
) -> None:
    """Compute the planes of a launch and their statistics; see ``conv_forward.convs_forward``.

    Args:
        states: those that first halves read, at most ``MAX_STATES``, ``(b, h, w, k)`` each; ``None`` for second halves,
            which read their sources among ``planes``.
        size: batch, rows and columns of the input.
        dense: by ``dense_weights``, not transposed.
        statistics: mean, 1 / std and unbiased variance of every plane, ``(place, c)``; those of the rows are written.
        counters: zeros, int32, one for each plane, zeros again afterwards; ``None`` where no statistics are written.
    """
    channels, second = planes.shape[2], states is None
    groups = groups_of(rows, kinds, 1 if second else max(1, 32 * stride // channels))
    edges = max(group.rows for group in groups)
    shape, halves, keep, split = tiling_of(size, stride, kinds.reach, edges * channels, channels, len(groups))
    tiles = tiles_of(shape)
    partial = planes.new_empty(len(rows), tiles, 2, channels, dtype=torch.float32)
    tables = table_of(rows, planes.device), groups_on(groups, planes.device)
    tensors = *both(states), planes, dense, *tables, gates, partial, *statistics, counters
    shared = max(bytes_of(shape, keep), 16 * edges * channels * 4, SUMS)
    constants = {"FORWARD": 1, "SECOND": int(second), "STRIDE": stride, "EDGES": edges, "TAPS": dense.shape[1]}
    constants |= {"KEEP": keep, "HALVES": halves, "SPLIT": split, "SAME_DILATION": _dilation(kinds)}
    constants |= rounds_of(pieces_of(shape, keep)) | shape.constants
    arguments = *tensors, ctypes.c_int(shape.batch), ctypes.c_float(BatchNorm.eps)
    launch("convs_forward", planes, channels, (len(groups), tiles, split), shared, arguments, **constants)


def half_gradient(
    planes: Tensor,
    grads: Tensor,
    coefficients: Tensor,
    dense: Tensor,
    statistics: tuple[Tensor, Tensor],
    first: int,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    gates: Tensor,
    size: Sequence[int],
    counters: Tensor,
    training: bool,
    dy: Tensor | None,
) -> None:
    """Write the gradients behind the first halves' BatchNorms; see ``conv_backward.half_gradient``.

    Args:
        coefficients: ``a``, ``b`` and ``s`` of every plane, ``(3, plane, c)``, by which ``grads`` become the planes';
            those of the first halves are written.
        dense: by ``dense_weights``, transposed.
        counters: zeros, int32, one for each plane; zeros again afterwards.
        training: whether BatchNorm uses the batch's statistics.
        dy: where the gradients of the rows' planes are stored, ``(row, m, c)``, if given.
    """
    channels = planes.shape[2]
    shape, halves, keep, split = tiling_of(size, 1, kinds.reach, channels, channels, len(rows))
    tiles, groups = tiles_of(shape), groups_of(rows, kinds, 1)
    partial = planes.new_empty(len(rows), tiles, 2, channels, dtype=torch.float32)
    tables = table_of(rows, planes.device), groups_on(groups, planes.device)
    tensors = planes, grads, dy, dense, *tables, gates, partial, *statistics, *coefficients, counters
    shared = max(bytes_of(shape, keep), 16 * channels * 4, SUMS)
    constants = {"HALF": 1, "TAPS": dense.shape[1], "KEEP": keep, "HALVES": halves, "SPLIT": split}
    constants["SAME_DILATION"] = _dilation(kinds)
    constants |= rounds_of(pieces_of(shape, keep)) | shape.constants
    arguments = *tensors, *map(ctypes.c_int, (shape.batch, first, int(training)))
    launch("half_gradient", planes, channels, (len(rows), tiles, split), shared, arguments, **constants)


def input_gradient(
    states: Sequence[Tensor],
    planes: Tensor,
    grads: Tensor,
    coefficients: Tensor,
    outs: Sequence[Tensor],
    dense: Tensor,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    gates: Tensor,
    stride: int,
    counters: Tensor,
    dy: Tensor | None,
) -> None:
    """Add the gradients of states to ``outs``, ``(b, h, w, c)`` each; see ``conv_backward.input_gradient``.

    Args:
        states: at most ``MAX_STATES``.
        coefficients: ``a``, ``b`` and ``s`` of every plane, ``(3, plane, c)``, by which ``grads`` become the planes'.
        dense: by ``dense_weights``, transposed.
        rows: those of each state stand together, in the order of the states.
        counters: at least ``BLOCKS`` zeros for each state, int32; zeros again afterwards.
        dy: as in ``half_gradient``.
    """
    (b, h, w, channels), numbers = states[0].shape, states[0].numel()
    size, reach = (b, h // stride, w // stride), ceil_div(kinds.reach, stride)
    shape, halves, keep = state_tiling_of(size, stride, reach, channels)
    pieces = pieces_of(shape, keep)
    shape = replace(shape, h=h, w=w)  # of the state; its gradient's pixels are those of ``size``
    second = [row.source for row in rows].count(-1)  # the first row of the second state
    tiles, split = tiles_of(shape), max(1, channels // 32)
    blocks = len(states) * split
    fill = BLOCKS if stride == 1 else BLOCKS * 2 // 3
    shares = max(1, min(max(second, len(rows) - second), ceil_div(fill, tiles * blocks)))
    parts = planes.new_empty(len(states), shares, numbers if shares > 1 else 0, dtype=torch.float32)
    tables = table_of(rows, planes.device), groups_on(groups_of(rows, kinds, 1), planes.device)
    images = *both(states), planes, grads, *both(outs)
    tensors = *images, dy, parts, counters, dense, *tables, gates, *coefficients
    arguments = *tensors, *map(ctypes.c_int, (shape.batch, second, len(rows)))
    shared = bytes_of(shape, keep)
    constants = {"STRIDE": stride, "TAPS": dense.shape[1], "KEEP": keep, "HALVES": halves, "SPLIT": split}
    constants |= {"SAME_DILATION": 0 if stride > 1 else _dilation(kinds)} | rounds_of(pieces) | shape.constants
    launch("state_gradient", planes, channels, (tiles, shares, blocks), shared, arguments, **constants)


def conv_weight_parts(
    states: Sequence[Tensor] | None,
    planes: Tensor,
    dy: Tensor,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    gates: Tensor,
    statistics: tuple[Tensor, Tensor],
    size: Sequence[int],
    stride: int,
) -> Parts:
    """Return the parts of the gradients of the weights; see ``conv_weight_backward.conv_weight_parts``.

    Args:
        dy: gradients of the rows' planes, ``(row, m, c)``.
        states, statistics, size, stride: as in ``convs_forward``.
    """
    channels, second, pixels = planes.shape[2], states is None, max(PIXELS // stride, size[2] // stride)
    shape = shape_of(size, stride, kinds.reach, pixels)
    units = 1 if channels == 16 and second else 2
    groups = groups_of(rows, kinds, units if channels == 16 else 1)
    tiles, blocks = tiles_of(shape), (channels // 16) * max(1, channels // 32)
    splits = min(tiles, max(1, WEIGHT_BLOCKS[units] // (len(groups) * blocks)))
    depthwise_splits = splits * max(1, channels // 32)
    depthwise_parts = planes.new_empty(len(rows), kinds.taps, depthwise_splits, channels, dtype=torch.float32)
    pointwise_parts = planes.new_empty(len(rows), 1, splits, channels, channels, dtype=torch.float32)
    given = _Kinds()
    _point(given, kinds)
    tables = table_of(rows, planes.device), groups_on(groups, planes.device)
    tensors = *both(states), planes, dy, *tables, gates, *statistics, depthwise_parts, pointwise_parts
    numbers = map(ctypes.c_int, (shape.batch, tiles, kinds.taps))
    shared = max(bytes_of(shape, 16) + units * pixels * PITCH, LINE * units * 16 * 16 * 4)
    constants = {"SECOND": int(second), "STRIDE": stride, "UNITS": units, "TILE": pixels}
    constants |= rounds_of(pieces_of(shape, 16, COPYING)) | shape.constants
    grid = len(groups), blocks, splits
    arguments = *tensors, given, *numbers
    launch("weight_gradients", planes, channels, grid, shared, arguments, **constants)
    return Parts(depthwise_parts, pointwise_parts, rows, kinds)


def launch(
    name: str,
    like: Tensor,
    channels: int,
    grid: tuple[int, int, int],
    shared: int,
    arguments: Sequence[Any],
    **constants: int,
) -> None:
    """Launch a kernel for tensors ``like`` one, with ``shared`` bytes of memory and these macros."""
    file, threads = FILES[name], 32 * LINE if name == "weight_gradients" else THREADS
    definitions = {"C": channels, "FLOAT16": int(like.dtype == torch.float16)} | constants
    given = CudaLaunch(name, file, tuple(definitions.items()), grid, threads, shared, tuple(arguments))
    library.launch(given, like.device)


def _dilation(kinds: Kinds) -> int:
    """Return the dilation of all kinds; 0 where they differ."""
    first, *others = set(kinds.dilations)
    return 0 if others else first


def both(states: Sequence[Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
    """Return the states of a launch as its kernel takes them: two, the same one twice where there is but one."""
    if not states:
        return None, None
    assert len(states) <= MAX_STATES and states[0].shape == states[-1].shape
    return states[0], states[-1]


def _point(to: _Weights | _Kinds, kinds: Kinds) -> None:
    """Let a structure point to the weights of all kinds, and name the factorized reductions by a bit each."""
    to.tensors = *kinds.depthwise, *kinds.pointwise
    to.factorized = sum(1 << kind for kind in kinds.factorized)
    for kind, (depthwise, pointwise) in enumerate(zip(kinds.depthwise, kinds.pointwise)):
        to.depthwise[kind], to.pointwise[kind] = depthwise.data_ptr(), pointwise.data_ptr()
