"""Fused separable convolutions, backward: gradients of the depthwise and pointwise weights, on the tensor cores.

Both follow from the gradient of the dense convolution that depthwise weight ``w`` and pointwise weight ``p`` make
together (``supernet.fused.dense``): with ``G[t] = dy' relu(x) at tap t``, ``(n, k)``, summed over all pixels, that of
``p`` is ``sum over t of w[t] G[t]``, and that of ``w[t]`` is the sum of ``p G[t]`` over ``n``.

A program takes one split of the pixels and up to ``LINE`` taps of one line of a kernel. The sums of all programs, of
several launches at a time, are added in order by a second kernel, so the same input gives the same bits. The definition
is ``naive.conv_weight_gradients``.

Axes: ``t`` tap, ``n`` output and ``k`` input channel; the others as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.dense import Kinds, precision_of
from supernet.fused.launch import aligned, ceil_div, launch, sum_type, triton_type
from supernet.fused.rows import ConvRow
from supernet.fused.tables import CONV_GATE, CONV_KIND, CONV_SLOT, entry, table_of
from supernet.fused.tiles import channels_of, offsets_of, pixel_of, pixels_of, rectified

LINE = tl.constexpr(5)
"""Taps of one line that a program takes."""

PIXELS_AT_ONCE = 32
"""Pixels of a tile: the inner dimension of the products."""

WARPS = 4096
"""Warps that a launch should have, at least: several for each scheduler of a large GPU."""


@triton.jit
def _pixels_of_tap(
    x, b, h, w, valid, k, inside_k, H: tl.constexpr, W: tl.constexpr, BORDER: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Return the pixels that one tap reads, ``(m, k)``; with a border they are rectified already."""
    at = x + ((b * (H + 2 * BORDER) + h + BORDER) * (W + 2 * BORDER) + w + BORDER)[:, None] * C + k[None, :]
    if BORDER > 0:
        return tl.load(at, mask=valid[:, None] & inside_k[None, :], other=0.0)
    inside = valid & (h >= 0) & (h < H) & (w >= 0) & (w < W)
    value = tl.load(at, mask=inside[:, None] & inside_k[None, :], other=0.0)
    return rectified(value)


@triton.jit
def _keep(
    product, total, tap, depthwise, slot, pointwise, parts, split, n, inside_n, k, inside_k,
    SPLITS, C: tl.constexpr, SIDE: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write the gradient of a tap's depthwise weight; return ``total``, the pointwise one's, with the tap's part."""
    mask = inside_k & (tap < SIDE * SIDE)
    weight = tl.load(depthwise + (slot * C + k) * (SIDE * SIDE) + tap, mask=mask, other=0.0).to(SUM)
    p_at = (slot * C + n)[:, None] * C + k[None, :]
    p = tl.load(pointwise + p_at, mask=inside_n[:, None] & inside_k[None, :], other=0.0).to(SUM)
    tl.store(parts + (tap * SPLITS + split) * C + k, tl.sum(product * p, 0), mask=mask)
    return total + product * weight[None, :]


@triton.jit
def _line(
    x, dy, depthwise_parts, pointwise_parts, depthwise, pointwise, slot, part, split, n, inside_n, k, inside_k,
    PIXELS, TILES, SPLITS,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    BORDER: tl.constexpr, SIDE: tl.constexpr, DILATION: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradients of up to ``LINE`` taps of a line's depthwise weights, and their part of the pointwise one."""
    ACROSS: tl.constexpr = (SIDE + LINE - 1) // LINE
    line = part // ACROSS
    first = part % ACROSS * LINE
    # One sum for each tap by name: a loop of Triton cannot carry a list.
    g0 = tl.zeros((N, K), SUM)
    g1 = tl.zeros((N, K), SUM)
    g2 = tl.zeros((N, K), SUM)
    g3 = tl.zeros((N, K), SUM)
    g4 = tl.zeros((N, K), SUM)
    for tile in tl.range(split, TILES, SPLITS):
        m, valid = pixels_of(tile, PIXELS, M)
        b, h, w = pixel_of(m, HO, WO)
        to = (b * (HO + 2 * BORDER) + h + BORDER) * (WO + 2 * BORDER) + w + BORDER
        at, mask = offsets_of(to, valid, n, inside_n, C)
        left = tl.trans(tl.load(dy + at, mask=mask, other=0.0))
        h = h * STRIDE + (line - SIDE // 2) * DILATION
        w = w * STRIDE + (first - SIDE // 2) * DILATION
        right = _pixels_of_tap(x, b, h, w, valid, k, inside_k, H, W, BORDER, C)
        g0 += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
        if SIDE > 1:
            right = _pixels_of_tap(x, b, h, w + DILATION, valid, k, inside_k, H, W, BORDER, C)
            g1 += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
        if SIDE > 2:
            right = _pixels_of_tap(x, b, h, w + 2 * DILATION, valid, k, inside_k, H, W, BORDER, C)
            g2 += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
        if SIDE > 3:
            right = _pixels_of_tap(x, b, h, w + 3 * DILATION, valid, k, inside_k, H, W, BORDER, C)
            g3 += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
        if SIDE > 4:
            right = _pixels_of_tap(x, b, h, w + 4 * DILATION, valid, k, inside_k, H, W, BORDER, C)
            g4 += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
    total = tl.zeros((N, K), SUM)
    for j in tl.static_range(LINE):
        if j < SIDE:
            product = g0 if j == 0 else g1 if j == 1 else g2 if j == 2 else g3 if j == 3 else g4
            tap = tl.where(first + j < SIDE, line * SIDE + first + j, SIDE * SIDE)  # beyond the line's end
            total = _keep(
                product, total, tap, depthwise, slot, pointwise, depthwise_parts, split, n, inside_n, k, inside_k,
                SPLITS, C, SIDE, SUM,
            )  # fmt: skip
    tl.store(pointwise_parts + n[:, None] * C + k[None, :], total, mask=inside_n[:, None] & inside_k[None, :])


@triton.jit
def _weight_kernel(
    x, dy, table, gates, depthwise_parts, pointwise_parts, depthwise, pointwise, PIXELS, INPUTS, OUTPUTS, TILES, SPLITS,
    LINES, TAPS,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    BORDER: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum over a split. ``INPUTS`` and ``OUTPUTS``: pixels between the rows' inputs, 0 for one state, and gradients."""
    row, split, block = tl.program_id(0), tl.program_id(1) // LINES, tl.program_id(2)
    part = tl.program_id(1) % LINES
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    n = tl.arange(0, N)
    inside_n = n < C
    k, inside_k = channels_of(block, C, K)
    x += row.to(tl.int64) * INPUTS * C
    dy += row.to(tl.int64) * OUTPUTS * C
    depthwise_parts += row * TAPS * SPLITS * C
    pointwise_parts += ((row * LINES + part) * SPLITS + split) * C * C
    for which in tl.static_range(len(SIDES)):
        if (kind == which) & (part < SIDES[which] * ((SIDES[which] + LINE - 1) // LINE)):
            _line(
                x, dy, depthwise_parts, pointwise_parts, depthwise[which], pointwise[which], slot, part, split,
                n, inside_n, k, inside_k, PIXELS, TILES, SPLITS,
                H, W, HO, WO, C, STRIDE, BORDER, SIDES[which], DILATIONS[which], M, N, K, SUM, PRECISION,
            )  # fmt: skip


@triton.jit
def _sum_of_parts(parts, COUNT, STEP, v, inside, V: tl.constexpr, T: tl.constexpr, SUM: tl.constexpr):
    """Return the sum of ``COUNT`` parts of ``STEP`` values each at the values ``v``, ``(v,)``."""
    total = tl.zeros((T, V), SUM)
    for t0 in range(0, COUNT, T):
        t = t0 + tl.arange(0, T)
        mask = (t < COUNT)[:, None] & inside[None, :]
        total += tl.load(parts + t[:, None] * STEP + v[None, :], mask=mask, other=0.0)
    return tl.sum(total, 0)


@triton.jit
def _weight_sums_kernel(
    depthwise_parts, pointwise_parts, table, gates, depthwise, pointwise, FIRST, DEPTHWISE_SPLITS, SPLITS, LINES, TAPS,
    C: tl.constexpr, LAUNCHES: tl.constexpr, SIDES: tl.constexpr, FACTORIZED: tl.constexpr, V: tl.constexpr,
    T: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Add the parts of several launches, in the layout of the weights; 0 where the gate is 0.

    ``FIRST``: a launch's first row in the table, whose kinds are those of all launches. ``LAUNCHES``: of each kind.
    """
    row, block = tl.program_id(0), tl.program_id(1)
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    live = tl.load(gates + entry(table, row, CONV_GATE)) != 0
    squares: tl.constexpr = (C * C + V - 1) // V
    for which in tl.static_range(len(SIDES)):
        if kind == which:
            launch: tl.constexpr = LAUNCHES[which]
            own = row - FIRST[launch]
            if block < squares:
                v = block * V + tl.arange(0, V)
                inside = v < C * C
                parts = pointwise_parts[launch] + own * LINES[launch] * SPLITS[launch] * C * C
                lines = tl.minimum(SIDES[which] * ((SIDES[which] + LINE - 1) // LINE), LINES[launch])
                count = tl.where(live, lines * SPLITS[launch], 0)
                found = _sum_of_parts(parts, count, C * C, v, inside, V, T, SUM).to(pointwise[which].dtype.element_ty)
                if FACTORIZED[which]:  # half of the outputs in either weight
                    half: tl.constexpr = C // 2 * C
                    tl.store(depthwise[which] + slot * half + v, found, mask=v < half)
                    tl.store(pointwise[which] + slot * half + v - half, found, mask=inside & (v >= half))
                else:
                    tl.store(pointwise[which] + slot * C * C + v, found, mask=inside)
            elif not FACTORIZED[which]:
                v = (block - squares) * V + tl.arange(0, V)
                tap, k = v // C, v % C
                inside = v < SIDES[which] * SIDES[which] * C
                splits = DEPTHWISE_SPLITS[launch]
                parts = depthwise_parts[launch] + own * TAPS[launch] * splits * C
                found = _sum_of_parts(parts, tl.where(live, splits, 0), C, tap * splits * C + k, inside, V, T, SUM)
                to = depthwise[which] + (slot * C + k) * (SIDES[which] * SIDES[which]) + tap
                tl.store(to, found.to(depthwise[which].dtype.element_ty), mask=inside)


@dataclass(frozen=True)
class Parts:
    """What the gradients of the weights of a launch are the sums of.

    Attributes:
        depthwise: sums of splits of the pixels, ``(r, t, split, c)``.
        pointwise: the same of the parts of a kernel that were summed together, ``(r, part, split, n, k)``; of a
            factorized reduction, of both its weights, one above the other.
        rows, kinds: of the launch.
    """

    depthwise: Tensor
    pointwise: Tensor
    rows: Sequence[ConvRow]
    kinds: Kinds


def conv_weight_gradients(
    x: Tensor, dy: Tensor, rows: Sequence[ConvRow], kinds: Kinds, gates: Tensor, stride: int = 1, border: int = 0
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients of each kind's depthwise and pointwise weights; see ``conv_weight_parts``, ``add_parts``."""
    return add_parts([conv_weight_parts(x, dy, rows, kinds, gates, stride, border)], gates)[0]


def conv_weight_parts(
    x: Tensor, dy: Tensor, rows: Sequence[ConvRow], kinds: Kinds, gates: Tensor, stride: int = 1, border: int = 0
) -> Parts:
    """Return the parts of the gradients of a launch's weights.

    Args:
        dy: gradients of the rows' planes (``conv_backward.plane_gradients``).
        border: of ``dy``, and of each row's input.
        x, rows, kinds, gates, stride: as in ``convs_forward``.
    """
    b, h, w, channels = x.shape[-4:]
    inputs, h, w = b * h * w, h - 2 * border, w - 2 * border
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    count, sums, table = len(rows), sum_type(dy.dtype), table_of(rows, dy.device)
    n = aligned(channels)
    k, warps = min(n, 32 if n <= 128 else 16), min(max(n // 16, 1), 8)
    lines = max(side * ceil_div(side, LINE.value) for side in kinds.sides)
    tiles, blocks = ceil_div(b * ho * wo, PIXELS_AT_ONCE), ceil_div(channels, k)
    splits = min(tiles, triton.next_power_of_2(ceil_div(WARPS, count * lines * blocks * warps)))
    depthwise_parts = dy.new_empty(count, kinds.taps, splits, channels, dtype=sums)
    pointwise_parts = dy.new_empty(count, lines, splits, channels, channels, dtype=sums)
    launch(
        _weight_kernel, (count, splits * lines, blocks),
        x, dy, table, gates, depthwise_parts, pointwise_parts, kinds.depthwise, kinds.pointwise,
        b * ho * wo, inputs if x.dim() == 5 else 0, dy[0].numel() // channels, tiles, splits, lines, kinds.taps,
        warps=warps, H=h, W=w, HO=ho, WO=wo, C=channels, STRIDE=stride, BORDER=border,
        SIDES=kinds.sides, DILATIONS=kinds.dilations, M=PIXELS_AT_ONCE, N=n, K=k, SUM=triton_type(sums),
        PRECISION=precision_of(dy.dtype),
    )  # fmt: skip
    return Parts(depthwise_parts, pointwise_parts, rows, kinds)


def add_parts(launches: Sequence[Parts], gates: Tensor) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Return the gradients of the weights of some launches, in one launch.

    Args:
        gates: flattened; the gradient of a row whose gate is 0 is 0.

    Returns:
        For each launch those of each kind's depthwise and pointwise weights, contiguous, in the weights' shapes.
    """
    found: list[tuple[list[Tensor], list[Tensor]]] = []
    rows: list[ConvRow] = []
    firsts: list[int] = []
    kinds: list[tuple[int, int, bool]] = []  # launch, side and whether it is a factorized reduction
    for number, own in enumerate(launches):
        firsts.append(len(rows))
        rows += [row._replace(kind=len(kinds) + row.kind) for row in own.rows]
        kinds += [(number, side, kind in own.kinds.factorized) for kind, side in enumerate(own.kinds.sides)]
        weights = own.kinds.depthwise, own.kinds.pointwise
        first, second = ([torch.empty_like(one, memory_format=torch.contiguous_format) for one in of] for of in weights)
        found.append((first, second))
    numbers, sides, factorized = zip(*kinds)
    channels, taps = launches[0].depthwise.shape[3], max(sides) ** 2
    most = max(max(own.depthwise.shape[2], math.prod(own.pointwise.shape[1:3])) for own in launches)
    at_once = min(64, triton.next_power_of_2(most))
    values = 2048 // at_once
    launch(
        _weight_sums_kernel, (len(rows), ceil_div(channels * channels, values) + ceil_div(taps * channels, values)),
        tuple(own.depthwise for own in launches), tuple(own.pointwise for own in launches),
        table_of(rows, gates.device), gates, *(tuple(chain.from_iterable(own)) for own in zip(*found)), tuple(firsts),
        tuple(own.depthwise.shape[2] for own in launches), tuple(own.pointwise.shape[2] for own in launches),
        tuple(own.pointwise.shape[1] for own in launches), tuple(own.depthwise.shape[1] for own in launches),
        C=channels, LAUNCHES=numbers, SIDES=sides, FACTORIZED=factorized, V=values, T=at_once,
        SUM=triton_type(launches[0].depthwise.dtype),
    )  # fmt: skip
    return found
