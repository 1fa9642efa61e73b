"""Fused separable convolutions, backward: gradients of the depthwise and pointwise weights, on the matrix units.

Both follow from the gradient of the dense convolution that depthwise weight ``w`` and pointwise weight ``p`` make
together: with ``G[t] = dy' relu(x) at tap t``, ``(n, k)``, summed over all pixels, that of ``p`` is ``sum over t of
w[t] G[t]``, and that of ``w[t]`` is the sum of ``p G[t]`` over ``n``. So neither depthwise outputs nor their gradients
are needed, and all arithmetic is a product of matrices.

A program takes one split of the pixels and up to ``LINE`` taps of one line of a kernel. The sums of all programs are
added in order by a second kernel, so the same input gives the same bits. The definition is
``naive.conv_weight_gradients``.

Axes: ``t`` tap, ``n`` output and ``k`` input channel; the others as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.conv_forward import Kinds
from supernet.fused.launch import PRECISION, SPLIT_PRECISION, ceil_div, launch, sum_type, triton_type
from supernet.fused.tables import CONV_BEHIND, CONV_GATE, CONV_KIND, CONV_SLOT, CONV_SOURCE, CONV_TARGET, entry
from supernet.fused.tiles import channels_of, load_channels, load_norm, offsets_of, pixel_of, pixels_of

LINE = tl.constexpr(5)
"""Taps of one line that a program takes."""

PIXELS_AT_ONCE = 32
"""Pixels of a tile: the inner dimension of the products."""

WARPS = 4096
"""Warps that a launch should have, at least: several for each scheduler of a large GPU."""


@triton.jit
def _tap(
    left, total, x, b, h, w, valid, k, inside_k, scale, shift,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, NORMED: tl.constexpr, SUM: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Return ``total`` plus the products of ``left``, ``(n, m)``, and ReLU of the pixels that one tap reads."""
    inside = valid & (h >= 0) & (h < H) & (w >= 0) & (w < W)
    mask = inside[:, None] & inside_k[None, :]
    value = tl.load(x + ((b * H + h) * W + w)[:, None] * C + k[None, :], mask=mask, other=0.0).to(SUM)
    if NORMED:
        value = tl.where(mask, value * scale[None, :] + shift[None, :], 0.0)
    right = tl.maximum(value, 0.0).to(left.dtype)
    return total + tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)


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
    x, grads, planes, scale, shift, a_n, b_n, s_n, depthwise_parts, pointwise_parts, depthwise, pointwise, slot, part,
    split, n, inside_n, k, inside_k, PIXELS, TILES, SPLITS,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    NORMED: tl.constexpr, SIDE: tl.constexpr, DILATION: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradients of up to ``LINE`` taps of a line's depthwise weights, and their part of the pointwise one."""
    ACROSS: tl.constexpr = (SIDE + LINE - 1) // LINE
    line = part // ACROSS
    first = part % ACROSS * LINE
    g0 = tl.zeros((N, K), SUM)
    g1 = tl.zeros((N, K), SUM)
    g2 = tl.zeros((N, K), SUM)
    g3 = tl.zeros((N, K), SUM)
    g4 = tl.zeros((N, K), SUM)
    for tile in tl.range(split, TILES, SPLITS, num_stages=1):
        m, valid = pixels_of(tile, PIXELS, M)
        b, h, w = pixel_of(m, HO, WO)
        at, mask = offsets_of(m, valid, n, inside_n, C)
        g = tl.load(grads + at, mask=mask, other=0.0).to(SUM)
        y = tl.load(planes + at, mask=mask, other=0.0).to(SUM)
        dy = tl.where(mask, g * a_n[None, :] + y * b_n[None, :] + s_n[None, :], 0.0)
        left = tl.trans(dy.to(x.dtype.element_ty))
        h = h * STRIDE + (line - SIDE // 2) * DILATION
        w = w * STRIDE + (first - SIDE // 2) * DILATION
        g0 = _tap(left, g0, x, b, h, w, valid, k, inside_k, scale, shift, H, W, C, NORMED, SUM, PRECISION)
        if SIDE > 1:
            w += DILATION
            g1 = _tap(left, g1, x, b, h, w, valid, k, inside_k, scale, shift, H, W, C, NORMED, SUM, PRECISION)
        if SIDE > 2:
            w += DILATION
            g2 = _tap(left, g2, x, b, h, w, valid, k, inside_k, scale, shift, H, W, C, NORMED, SUM, PRECISION)
        if SIDE > 3:
            w += DILATION
            g3 = _tap(left, g3, x, b, h, w, valid, k, inside_k, scale, shift, H, W, C, NORMED, SUM, PRECISION)
        if SIDE > 4:
            w += DILATION
            g4 = _tap(left, g4, x, b, h, w, valid, k, inside_k, scale, shift, H, W, C, NORMED, SUM, PRECISION)
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
    x, grads, planes, table, gates, mean, rstd, a, b, s, depthwise_parts, pointwise_parts, depthwise, pointwise,
    PIXELS, TILES, SPLITS, LINES, TAPS,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    NORMED: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row, split, block = tl.program_id(0), tl.program_id(1) // LINES, tl.program_id(2)
    part = tl.program_id(1) % LINES
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    source, target = entry(table, row, CONV_SOURCE), entry(table, row, CONV_TARGET)
    behind = entry(table, row, CONV_BEHIND)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    n = tl.arange(0, N)
    inside_n = n < C
    k, inside_k = channels_of(block, C, K)
    scale = tl.zeros((K,), SUM)
    shift = tl.zeros((K,), SUM)
    if NORMED:
        x += source.to(tl.int64) * PIXELS * C
        scale, shift = load_norm(mean, rstd, source, k, inside_k, C, SUM)
    grads += behind.to(tl.int64) * PIXELS * C
    planes += target.to(tl.int64) * PIXELS * C
    a_n = load_channels(a, target, n, inside_n, C, SUM)
    b_n = load_channels(b, target, n, inside_n, C, SUM)
    s_n = load_channels(s, target, n, inside_n, C, SUM)
    depthwise_parts += row * TAPS * SPLITS * C
    pointwise_parts += ((row * LINES + part) * SPLITS + split) * C * C
    for which in tl.static_range(len(SIDES)):
        if (kind == which) & (part < SIDES[which] * ((SIDES[which] + LINE - 1) // LINE)):
            _line(
                x, grads, planes, scale, shift, a_n, b_n, s_n, depthwise_parts, pointwise_parts, depthwise[which],
                pointwise[which], slot, part, split, n, inside_n, k, inside_k, PIXELS, TILES, SPLITS,
                H, W, HO, WO, C, STRIDE, NORMED, SIDES[which], DILATIONS[which], M, N, K, SUM, PRECISION,
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
    depthwise_parts, pointwise_parts, table, gates, depthwise, pointwise, SPLITS, LINES, TAPS,
    C: tl.constexpr, SIDES: tl.constexpr, V: tl.constexpr, T: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Add the parts, in the layout of the weights; 0 where the gate is 0."""
    row, block = tl.program_id(0), tl.program_id(1)
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    live = tl.load(gates + entry(table, row, CONV_GATE)) != 0
    squares: tl.constexpr = (C * C + V - 1) // V
    depthwise_parts += row * TAPS * SPLITS * C
    pointwise_parts += row * LINES * SPLITS * C * C
    for which in tl.static_range(len(SIDES)):
        if kind == which:
            if block < squares:
                v = block * V + tl.arange(0, V)
                inside = v < C * C
                count = tl.where(live, SIDES[which] * ((SIDES[which] + LINE - 1) // LINE) * SPLITS, 0)
                found = _sum_of_parts(pointwise_parts, count, C * C, v, inside, V, T, SUM)
                to = pointwise[which] + slot * C * C + v
                tl.store(to, found.to(pointwise[which].dtype.element_ty), mask=inside)
            else:
                v = (block - squares) * V + tl.arange(0, V)
                tap, k = v // C, v % C
                inside = v < SIDES[which] * SIDES[which] * C
                at = tap * SPLITS * C + k
                found = _sum_of_parts(depthwise_parts, tl.where(live, SPLITS, 0), C, at, inside, V, T, SUM)
                to = depthwise[which] + (slot * C + k) * (SIDES[which] * SIDES[which]) + tap
                tl.store(to, found.to(depthwise[which].dtype.element_ty), mask=inside)


def conv_weight_gradients(
    x: Tensor,
    planes: Tensor,
    grads: Tensor,
    coefficients: Tensor,
    table: Tensor,
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
    stride: int = 1,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients of each kind's depthwise and pointwise weights, contiguous, in the weights' shapes.

    Args:
        grads: the gradients that arrive behind the planes' BatchNorms, ``(gradient, m, c)``.
        coefficients: ``a``, ``b`` and ``s`` of every plane, ``(3, plane, c)``.
        x, planes, table, kinds, gates, size, stride, statistics: as in ``convs_forward``.
    """
    b, h, w = size
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    rows, channels, sums = len(table), planes.shape[2], sum_type(planes.dtype)
    n = max(16, triton.next_power_of_2(channels))
    k, warps = min(n, 32 if n <= 128 else 16), min(max(n // 16, 1), 8)
    lines = max(side * ceil_div(side, LINE.value) for side in kinds.sides)
    taps, tiles, blocks = max(kinds.sides) ** 2, ceil_div(b * ho * wo, PIXELS_AT_ONCE), ceil_div(channels, k)
    splits = min(tiles, triton.next_power_of_2(ceil_div(WARPS, rows * lines * blocks * warps)))
    a, slope, constant = coefficients
    mean, rstd = statistics if statistics is not None else (coefficients, coefficients)
    depthwise_parts = planes.new_empty(rows, taps, splits, channels, dtype=sums)
    pointwise_parts = planes.new_empty(rows, lines, splits, channels, channels, dtype=sums)
    launch(
        _weight_kernel, (rows, splits * lines, blocks),
        x, grads, planes, table, gates, mean, rstd, a, slope, constant, depthwise_parts, pointwise_parts,
        kinds.depthwise, kinds.pointwise, b * ho * wo, tiles, splits, lines, taps, warps=warps,
        H=h, W=w, HO=ho, WO=wo, C=channels, STRIDE=stride, NORMED=statistics is not None, SIDES=kinds.sides,
        DILATIONS=kinds.dilations, M=PIXELS_AT_ONCE, N=n, K=k, SUM=triton_type(sums),
        PRECISION=SPLIT_PRECISION if planes.dtype == torch.float32 else PRECISION,
    )  # fmt: skip
    found = [[torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in weights]
             for weights in (kinds.depthwise, kinds.pointwise)]  # fmt: skip
    values = 32
    launch(
        _weight_sums_kernel, (rows, ceil_div(channels * channels, values) + ceil_div(taps * channels, values)),
        depthwise_parts, pointwise_parts, table, gates, *map(tuple, found), splits, lines, taps,
        C=channels, SIDES=kinds.sides, V=values, T=64, SUM=triton_type(sums),
    )  # fmt: skip
    return found[0], found[1]
