"""Launches of the CUDA kernels that compute separable convolutions of 16-bit numbers, forward.

``convs_forward`` computes the same as that of its name in ``supernet.fused.conv_forward``; that in
``supernet.fused.naive`` defines both. The kernels stand in the files beside this one (``FILES``). A tile of images is
read into shared memory once, normalized, and every tap is read from there. The way back is ``convs_backward``.

Axes: as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from supernet.fused.cuda import library
from supernet.fused.cuda.tiles import (
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
from supernet.fused.rows import ConvRow
from supernet.fused.tables import table_of
from supernet.ops import BatchNorm

CHANNELS = (16, 32, 64)
TYPES = (torch.bfloat16, torch.float16)
LINE = 5
"""Warps of a block that computes weights' gradients, as the kernel has them."""

FILES = {
    "dense_weights": "dense_weights.cuh",
    "convs_forward": "convs.cuh",
    "half_gradient": "half_gradient.cuh",
    "state_gradient": "state_gradient.cuh",
    "weight_gradients": "weight_gradients.cuh",
    "combine": "nodes.cuh",
    "combine_sums": "node_sums.cuh",
    "pools_and_skips": "shared.cuh",
}
"""Kernel -> its source."""

MAX_KINDS, MAX_KINDS_AT_ONCE = 64, 16
"""Kinds of convolutions of a graph and of a launch."""

MAX_STATES = 2
"""States that the first halves of a launch read."""

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
    point(given, kinds)
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
    constants = {"SECOND": int(second), "STRIDE": stride, "EDGES": edges, "TAPS": dense.shape[1]}
    constants |= {"KEEP": keep, "HALVES": halves, "SPLIT": split, "SAME_DILATION": dilation_of(kinds)}
    constants |= rounds_of(pieces_of(shape, keep)) | shape.constants
    arguments = *tensors, ctypes.c_int(shape.batch), ctypes.c_float(BatchNorm.eps)
    launch("convs_forward", planes, channels, (len(groups), tiles, split), shared, arguments, **constants)


def launch(
    name: str,
    like: Tensor,
    channels: int,
    grid: tuple[int, int, int],
    shared: int,
    arguments: Sequence[Any],
    threads: int = THREADS,
    **constants: int,
) -> None:
    """Launch a kernel for tensors ``like`` one, with ``shared`` bytes of memory and these macros."""
    definitions = {"C": channels, "FLOAT16": int(like.dtype == torch.float16)} | constants
    given = CudaLaunch(name, FILES[name], tuple(definitions.items()), grid, threads, shared, tuple(arguments))
    library.launch(given, like.device)


def dilation_of(kinds: Kinds) -> int:
    """Return the dilation of all kinds; 0 where they differ."""
    first, *others = set(kinds.dilations)
    return 0 if others else first


def both(states: Sequence[Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
    """Return the states of a launch as its kernel takes them: two, the same one twice where there is but one."""
    if not states:
        return None, None
    assert len(states) <= MAX_STATES and states[0].shape == states[-1].shape
    return states[0], states[-1]


def point(to: Any, kinds: Kinds) -> None:
    """Let a structure point to the weights of all kinds, and name the factorized reductions by a bit each."""
    to.tensors = *kinds.depthwise, *kinds.pointwise
    to.factorized = sum(1 << kind for kind in kinds.factorized)
    for kind, (depthwise, pointwise) in enumerate(zip(kinds.depthwise, kinds.pointwise)):
        to.depthwise[kind], to.pointwise[kind] = depthwise.data_ptr(), pointwise.data_ptr()
