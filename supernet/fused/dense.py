"""Separable convolutions as dense ones: depthwise and pointwise weights multiplied out, for the tensor cores.

A depthwise convolution by ``w`` and a pointwise one by ``p`` are one dense convolution by ``w[t] p``, a matrix
``(n, k)`` for each tap ``t``. It has more arithmetic, but all of it is products of matrices, which the tensor cores
compute many times faster than the other units compute the depthwise sums.

Rows of a launch that share an operation read the same state, so a program computes a *group* of them: their matrices
stand side by side. The definition is ``naive.dense_weights``.

Axes: ``r`` row of a launch table, ``t`` tap, ``k`` input and ``n`` output channel, ``e`` slot in a stacked parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.launch import PRECISION, SPLIT_PRECISION, aligned, ceil_div, launch, table_on, triton_type
from supernet.fused.rows import ConvRow
from supernet.fused.tables import CONV_KIND, CONV_SLOT, entry, table_of


@dataclass(frozen=True)
class Kinds:
    """The depthwise convolutions of a launch, which differ in kernel size.

    Attributes:
        sides, dilations: kernel size and dilation of each kind.
        depthwise: stacked weights of each kind, ``(e, k, 1, side, side)``.
        pointwise: stacked weights of each kind, ``(e, n, k, 1, 1)``.
        factorized: the kinds that are factorized reductions: 3x3 convolutions whose first ``n / 2`` outputs read the
            tap in the middle, by ``depthwise``, the others the last, by ``pointwise``, ``(e, n / 2, k, 1, 1)`` each.
    """

    sides: tuple[int, ...]
    dilations: tuple[int, ...]
    depthwise: tuple[Tensor, ...]
    pointwise: tuple[Tensor, ...]
    factorized: tuple[int, ...] = ()

    @property
    def taps(self) -> int:
        """The largest number of taps of a kind."""
        return max(self.sides) ** 2

    @property
    def reach(self) -> int:
        """How many pixels beside its own a kind reads at most."""
        return max(side // 2 * dilation for side, dilation in zip(self.sides, self.dilations))


class Group(NamedTuple):
    """Consecutive rows of a launch that are computed together.

    Attributes:
        first: the first of them.
        rows: how many.
        side, dilation: of their depthwise convolution.
        inverse: ``SHIFT`` bits of 1 / side, rounded up, by which kernels divide.
    """

    first: int
    rows: int
    side: int
    dilation: int
    inverse: int


GROUP_COLUMNS = tl.constexpr(len(Group._fields))

SHIFT = tl.constexpr(20)
"""With so many bits, quotients below 2,048 are exact and the product has 32 bits at most."""


@triton.jit
def load_group(groups, group):
    """Return a row of a table of groups, in the order of ``Group``."""
    at = groups + group * GROUP_COLUMNS
    return tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3), tl.load(at + 4)


@triton.jit
def divided(number, inverse):
    """Return a number divided by what ``inverse`` is the inverse of, rounded down: one multiplication and a shift."""
    return (number * inverse) >> SHIFT


def groups_of(rows: Sequence[ConvRow], kinds: Kinds, most: int) -> tuple[Group, ...]:
    """Return the groups of a launch, of rows of one kind and one source each and of at most ``most`` rows."""
    found, first = [], 0
    for (kind, _), members in groupby(rows, key=lambda row: (row.kind, row.source)):
        left = len(list(members))
        while left:
            count, side = min(left, most), kinds.sides[kind]
            found.append(Group(first, count, side, kinds.dilations[kind], 2**SHIFT.value // side + 1))
            first, left = first + count, left - count
    return tuple(found)


def groups_on(groups: tuple[Group, ...], device: torch.device) -> Tensor:
    """Return groups as a table on the device, ``(group, 5)``, int32."""
    return table_on(groups, device)


def columns_at_once(storage: torch.dtype) -> int:
    """Return the most output channels, of all rows of a group, that a program computes where it may take fewer rows."""
    return 128 if storage.itemsize <= 2 else 64


def inner_of(channels: int, storage: torch.dtype) -> int:
    """Return the number of channels over which a product sums at a time."""
    return min(aligned(channels), 64 if channels <= 64 and storage.itemsize <= 2 else 32)


def pixels_at_once(columns: int, pixels: int, storage: torch.dtype, masked: bool = False) -> int:
    """Return the number of pixels of a program: many, since each step has a cost of its own, but not too few programs.

    Args:
        columns: output channels of a program.
        pixels: of the batch.
        storage: type of the factors; sums of 32-bit products need more registers.
        masked: whether it is looked at each pixel and each channel whether it exists, which needs registers too.
    """
    found = min(256, (8192 if storage.itemsize <= 2 and not masked else 4096) // columns)
    while found > 64 and pixels < 128 * found:
        found //= 2
    return max(found, 64 if storage.itemsize <= 2 else 32)


def precision_of(storage: torch.dtype) -> str:
    """Return the precision of products of a storage type."""
    return SPLIT_PRECISION if storage == torch.float32 else PRECISION


@triton.jit
def _dense_kernel(
    dense, table, depthwise, pointwise, TAPS,
    C: tl.constexpr, SIDES: tl.constexpr, V: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    row, block = tl.program_id(0), tl.program_id(1)
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    v = block * V + tl.arange(0, V)
    tap, n, k = v // (C * C), v // C % C, v % C
    for which in tl.static_range(len(SIDES)):
        if kind == which:
            inside = tap < SIDES[which] * SIDES[which]
            w_at = (slot * C + k) * (SIDES[which] * SIDES[which]) + tap
            w = tl.load(depthwise[which] + w_at, mask=inside, other=0.0).to(SUM)
            p = tl.load(pointwise[which] + (slot * C + n) * C + k, mask=inside, other=0.0).to(SUM)
            tl.store(dense + row * TAPS * C * C + v, (w * p).to(dense.dtype.element_ty), mask=inside)


def dense_weights(rows: Sequence[ConvRow], kinds: Kinds, like: Tensor) -> Tensor:
    """Return the matrices of each row's taps, ``(r, t, n, k)``; undefined beyond a kind's own taps.

    Args:
        like: has the device and the type that the matrices are rounded to.
    """
    channels, taps, values = kinds.depthwise[0].shape[1], kinds.taps, 1024
    dense = like.new_empty(len(rows), taps, channels, channels)
    sums = torch.promote_types(like.dtype, torch.float32)
    launch(
        _dense_kernel, (len(rows), ceil_div(taps * channels * channels, values)),
        dense, table_of(rows, like.device), kinds.depthwise, kinds.pointwise, taps,
        C=channels, SIDES=kinds.sides, V=values, SUM=triton_type(sums),
    )  # fmt: skip
    return dense
