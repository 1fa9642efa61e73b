"""Launches of the CUDA kernels that compute separable convolutions of 16-bit numbers, backward.

Each function computes the same as that of its name in ``supernet.fused.conv_backward`` and ``conv_weight_backward``;
those in ``supernet.fused.naive`` define them. A plane's gradient is formed where a tile of it is read into shared
memory. Where registers hold all sums, the gradients of second halves' weights come from the same tiles.

Axes: as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from supernet.fused.conv_weight_backward import Parts
from supernet.fused.cuda.convs import LINE, MAX_KINDS_AT_ONCE, SUMS, both, dilation_of, launch, point
from supernet.fused.cuda.tiles import (
    BLOCKS,
    PITCH,
    PIXELS,
    SHARED,
    Shape,
    bytes_of,
    pieces_of,
    rounds_of,
    shape_of,
    shares_of,
    state_tiling_of,
    tiles_of,
    tiling_of,
)
from supernet.fused.dense import Kinds, groups_of, groups_on
from supernet.fused.launch import ceil_div
from supernet.fused.rows import ConvRow
from supernet.fused.tables import table_of

COPYING = 128
"""Threads that copy a tile, of a block that computes weights' gradients alone."""

RESIDENT = {1: 5, 2: 3}
"""Units of such a block -> how many fit on a multiprocessor, as the kernel asks for."""

JOINED_RESIDENT = 2
"""The same of a block that computes these gradients beside those of planes."""

JOINED_CHANNELS = (16, 32)
"""Channels of which the sums of the weights' gradients stay in a block's registers."""

JOINED_NUMBERS = 3072
"""Numbers by which the warps of a block add these up, in shared memory."""


class _Kinds(ctypes.Structure):
    tensors: tuple[Tensor, ...]
    _fields_ = [
        ("depthwise", ctypes.c_void_p * MAX_KINDS_AT_ONCE),
        ("pointwise", ctypes.c_void_p * MAX_KINDS_AT_ONCE),
        ("factorized", ctypes.c_ulonglong),
    ]


def joins_weights(channels: int, size: Sequence[int], kinds: Kinds, shared: int) -> bool:
    """Return whether ``half_gradient`` computes the weights' gradients too.

    Args:
        size: batch, rows and columns.
        shared: bytes of shared memory that a block may use.
    """
    if channels not in JOINED_CHANNELS:
        return False
    shape, _, keep = _joined_tiling(channels, size, kinds)
    return keep == channels and _joined_bytes(shape, channels) <= shared


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
    of_weights: bool = False,
) -> Parts | None:
    """Write the gradients behind the first halves' BatchNorms; see ``conv_backward.half_gradient``.

    Args:
        coefficients: ``a``, ``b`` and ``s`` of every plane, ``(3, plane, c)``, by which ``grads`` become the planes';
            those of the first halves are written.
        dense: by ``dense_weights``, transposed.
        counters: zeros, int32, one for each plane; zeros again afterwards.
        training: whether BatchNorm uses the batch's statistics.
        dy: where the gradients of the rows' planes are stored, ``(row, m, c)``, if given.
        of_weights: whether the gradients of the rows' weights are computed too, where ``joins_weights`` says that they
            can be.

    Returns:
        The parts of these, if they are; see ``conv_weight_backward.conv_weight_parts``.
    """
    channels, given = planes.shape[2], _Kinds()
    if of_weights:
        shape, halves, keep = _joined_tiling(channels, size, kinds)
        split, shared = channels // 16, _joined_bytes(shape, channels)
        tiles = tiles_of(shape)
        shares = shares_of(tiles, len(rows) * split, JOINED_RESIDENT)
        depthwise_parts = planes.new_empty(len(rows), kinds.taps, shares, channels, dtype=torch.float32)
        pointwise_parts = planes.new_empty(len(rows), 1, shares, channels, channels, dtype=torch.float32)
        parts = Parts(depthwise_parts, pointwise_parts, rows, kinds)
        point(given, kinds)
    else:
        shape, halves, keep, split = tiling_of(size, 1, kinds.reach, channels, channels, len(rows))
        parts, shared = None, max(bytes_of(shape, keep), 16 * channels * 4, SUMS)
        shares = tiles = tiles_of(shape)
    partial = planes.new_empty(len(rows), shares, 2, channels, dtype=torch.float32)
    tables = table_of(rows, planes.device), groups_on(groups_of(rows, kinds, 1), planes.device)
    tensors = planes, grads, dy, dense, *tables, gates, partial, *statistics, *coefficients, counters
    of_parts = (None, None) if parts is None else (parts.depthwise, parts.pointwise)
    constants = {"WEIGHTS": int(of_weights), "TAPS": dense.shape[1], "KEEP": keep, "HALVES": halves, "SPLIT": split}
    constants["SAME_DILATION"] = dilation_of(kinds)
    constants |= rounds_of(pieces_of(shape, keep)) | shape.constants
    arguments = *tensors, *of_parts, given, *map(ctypes.c_int, (shape.batch, tiles, first, int(training)))
    launch("half_gradient", planes, channels, (len(rows), shares, split), shared, arguments, **constants)
    return parts


def _joined_tiling(channels: int, size: Sequence[int], kinds: Kinds) -> tuple[Shape, int, int]:
    """Return ``tiling_of`` of a launch of ``half_gradient`` that computes weights' gradients, too few blocks or not."""
    return tiling_of(size, 1, kinds.reach, channels, channels, shared=SHARED)[:3]


def _joined_bytes(shape: Shape, channels: int) -> int:
    """Return the bytes of shared memory of a block of it: a tile of gradients, and 16 channels of its images."""
    pixels = shape.images * shape.rows * shape.wo
    return max(bytes_of(shape, channels) + pixels * PITCH, JOINED_NUMBERS * 4)


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
    constants |= {"SAME_DILATION": 0 if stride > 1 else dilation_of(kinds)} | rounds_of(pieces) | shape.constants
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
    splits = shares_of(tiles, len(groups) * blocks, RESIDENT[units])
    depthwise_splits = splits * max(1, channels // 32)
    depthwise_parts = planes.new_empty(len(rows), kinds.taps, depthwise_splits, channels, dtype=torch.float32)
    pointwise_parts = planes.new_empty(len(rows), 1, splits, channels, channels, dtype=torch.float32)
    given = _Kinds()
    point(given, kinds)
    tables = table_of(rows, planes.device), groups_on(groups, planes.device)
    tensors = *both(states), planes, dy, *tables, gates, *statistics, depthwise_parts, pointwise_parts
    numbers = map(ctypes.c_int, (shape.batch, tiles, kinds.taps))
    shared = max(bytes_of(shape, 16) + units * pixels * PITCH, LINE * units * 16 * 16 * 4)
    constants = {"SECOND": int(second), "STRIDE": stride, "UNITS": units, "TILE": pixels}
    constants |= rounds_of(pieces_of(shape, 16, COPYING)) | shape.constants
    grid = len(groups), blocks, splits
    arguments = *tensors, given, *numbers
    launch("weight_gradients", planes, channels, grid, shared, arguments, 32 * LINE, **constants)
    return Parts(depthwise_parts, pointwise_parts, rows, kinds)
