"""Fused separable convolutions, backward: gradients of the planes, of the state, and between both halves.

The gradient of a plane is ``a g + b y + s``, BatchNorm's backward with the coefficients that
``supernet.fused.batch_norm`` prepares. A state's gradient is summed over edges and candidates inside one kernel, as a
transposed dense convolution (``supernet.fused.dense``). Nothing is added atomically, so the same input gives the same
bits. The gradients of the weights are in ``conv_weight_backward``; the definitions are in ``naive``.

Axes: as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.dense import (
    Kinds,
    columns_at_once,
    divided,
    groups_of,
    groups_on,
    inner_of,
    load_group,
    pixels_at_once,
    precision_of,
)
from supernet.fused.launch import ceil_div, launch, sum_type, tile_of, triton_type
from supernet.fused.rows import ConvRow
from supernet.fused.tables import CONV_BEHIND, CONV_GATE, CONV_SOURCE, CONV_TARGET, entry, table_of
from supernet.fused.tiles import channels_of, load_channels, load_plane, offsets_of, pixel_of, pixels_of, within_border


@triton.jit
def _plane_gradients_kernel(
    grads, planes, out, table, gates, a, b, s, PIXELS, OUTPUTS,
    H: tl.constexpr, W: tl.constexpr, BORDER: tl.constexpr, C: tl.constexpr, M: tl.constexpr, K: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    row, tile, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    target, behind = entry(table, row, CONV_TARGET), entry(table, row, CONV_BEHIND)
    live = tl.load(gates + entry(table, row, CONV_GATE)) != 0
    to, valid = pixels_of(tile, tl.where(live, OUTPUTS, 0), M)
    m, inside = within_border(to, H, W, BORDER)
    n, inside_n = channels_of(block, C, K)
    at, mask = offsets_of(m, valid & inside, n, inside_n, C)
    g = load_plane(grads, behind, at, mask, PIXELS, C, SUM)
    y = load_plane(planes, target, at, mask, PIXELS, C, SUM)
    a_n = load_channels(a, target, n, inside_n, C, SUM)
    b_n = load_channels(b, target, n, inside_n, C, SUM)
    s_n = load_channels(s, target, n, inside_n, C, SUM)
    dy = tl.where(mask, g * a_n[None, :] + y * b_n[None, :] + s_n[None, :], 0.0)
    at, mask = offsets_of(to, to < OUTPUTS, n, inside_n, C)
    tl.store(out + row.to(tl.int64) * OUTPUTS * C + at, dy.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _input_gradient_kernel(
    x, dy, out, dense, groups, PIXELS, OUTPUTS, GROUPS, TAPS,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, E: tl.constexpr, ALIGNED: tl.constexpr, SUM: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Add the gradient of a state, summed over all its planes and masked by its ReLU, to ``out``."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, H, W)
    k, inside_k = channels_of(block, C, K)
    blocks: tl.constexpr = (C + N - 1) // N
    column = tl.arange(0, E * N)
    total = tl.zeros((M, K), SUM)
    for group in range(0, GROUPS):
        first, count, side, dilation, inverse = load_group(groups, group)
        row, known = first + column // N, column // N < count
        rows = dy + first.to(tl.int64) * OUTPUTS * C
        for step in tl.range(0, side * side * blocks):
            tap = step // blocks
            n = step % blocks * N + column % N
            inside_n = known & (n < C)
            line = divided(tap, inverse)
            hh = h - (line - side // 2) * dilation
            ww = w - (tap - line * side - side // 2) * dilation
            inside = valid & (hh >= 0) & (ww >= 0)
            if STRIDE > 1:
                inside = inside & (hh % STRIDE == 0) & (ww % STRIDE == 0)
                hh = hh // STRIDE
                ww = ww // STRIDE
            inside = inside & (hh < HO) & (ww < WO)
            across = tl.max_contiguous(tl.multiple_of(column // N * OUTPUTS * C + n, ALIGNED), N)
            at = ((b * HO + hh) * WO + ww)[:, None] * C + across[None, :]
            left = tl.load(rows + at, mask=inside[:, None] & inside_n[None, :], other=0.0)
            at = dense + ((row * TAPS + tap) * C + n)[:, None] * C + k[None, :]
            right = tl.load(at, mask=inside_n[:, None] & inside_k[None, :], other=0.0)
            total += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
    at, mask = offsets_of(m, valid, k, inside_k, C)
    state = tl.load(x + at, mask=mask, other=0.0)
    before = tl.load(out + at, mask=mask, other=0.0).to(SUM)
    tl.store(out + at, (before + tl.where(state > 0, total, 0.0)).to(out.dtype.element_ty), mask=mask)


@triton.jit
def _half_gradient_kernel(
    dy, planes, dense, table, groups, gates, mean, rstd, grads, partial, PIXELS, INPUTS, TILES, FIRST, TAPS,
    H: tl.constexpr, W: tl.constexpr, BORDER: tl.constexpr, C: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradient behind each first half's BatchNorm, and the sums that BatchNorm's backward needs."""
    row, tile, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    source = entry(table, row, CONV_SOURCE)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    _, _, side, dilation, inverse = load_group(groups, row)
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(tl.minimum(m, PIXELS - 1), H, W)
    middle = side // 2 * dilation + BORDER
    begin = (b * (H + 2 * BORDER) + h + middle) * (W + 2 * BORDER) + w + middle
    k, inside_k = channels_of(block, C, K)
    blocks: tl.constexpr = (C + N - 1) // N
    dy += row.to(tl.int64) * INPUTS * C
    total = tl.zeros((M, K), SUM)
    for step in tl.range(0, side * side * blocks):
        tap = step // blocks
        n = step % blocks * N + tl.arange(0, N)
        inside_n = n < C
        line = divided(tap, inverse)
        start = dy - (line * (W + 2 * BORDER) + tap - line * side) * dilation * C
        left = tl.load(start + begin[:, None] * C + n[None, :], mask=inside_n[None, :], other=0.0)
        at = dense + ((row * TAPS + tap) * C + n)[:, None] * C + k[None, :]
        right = tl.load(at, mask=inside_n[:, None] & inside_k[None, :], other=0.0)
        total += tl.dot(left, right, out_dtype=SUM, input_precision=PRECISION)
    at, mask = offsets_of(m, valid, k, inside_k, C)
    y = load_plane(planes, source, at, mask, PIXELS, C, SUM)
    average = load_channels(mean, source, k, inside_k, C, SUM)
    scale = load_channels(rstd, source, k, inside_k, C, SUM)
    z = (y - average[None, :]) * scale[None, :]
    g = tl.where(mask & (z > 0), total, 0.0).to(grads.dtype.element_ty)
    tl.store(grads + (FIRST + source).to(tl.int64) * PIXELS * C + at, g, mask=mask)
    g = g.to(SUM)
    to = partial + ((row * TILES + tile) * 2) * C + k
    tl.store(to, tl.sum(g, 0), mask=inside_k)
    tl.store(to + C, tl.sum(g * z, 0), mask=inside_k)


def plane_gradients(
    planes: Tensor,
    grads: Tensor,
    coefficients: Tensor,
    rows: Sequence[ConvRow],
    gates: Tensor,
    size: tuple[int, int, int],
    border: int = 0,
) -> Tensor:
    """Return the gradient of each row's plane, ``(r, b, h + 2 border, w + 2 border, c)``.

    Args:
        planes: ``(plane, m, c)``, as ``convs_forward`` wrote them.
        grads: the gradients that arrive behind the planes' BatchNorms, ``(gradient, m, c)``.
        coefficients: ``a``, ``b`` and ``s`` of every plane, ``(3, plane, c)``.
        rows: of the launch.
        gates: flattened; the gradient of a row whose gate is 0 is 0, whatever its plane holds.
        size: batch, rows and columns of a plane.
        border: width of the border of zeros.
    """
    b, h, w = size
    _, pixels, channels = planes.shape
    out = planes.new_empty(len(rows), b, h + 2 * border, w + 2 * border, channels)
    outputs = out[0].numel() // channels
    tile = tile_of(outputs, channels)
    launch(
        _plane_gradients_kernel, (len(rows), tile.count, ceil_div(channels, tile.k)),
        grads, planes, out, table_of(rows, planes.device), gates, *coefficients, pixels, outputs,
        H=h, W=w, BORDER=border, C=channels, M=tile.m, K=tile.k, SUM=tile.sums(planes.dtype),
    )  # fmt: skip
    return out


def input_gradient(
    x: Tensor,
    dy: Tensor,
    out: Tensor,
    dense: Tensor,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    stride: int,
) -> None:
    """Add the gradient of the state ``x``, from the gradients ``dy`` of its rows' planes, to ``out``.

    Args:
        x, out: ``(b, h, w, c)``, contiguous.
        dy: without a border (``plane_gradients``).
        dense, rows, kinds, stride: as in ``convs_forward``.
    """
    b, h, w, channels = x.shape
    ho, wo, pixels = ceil_div(h, stride), ceil_div(w, stride), b * h * w
    n = inner_of(channels, out.dtype)
    groups = groups_of(rows, kinds, max(1, columns_at_once(out.dtype) // 2 // n))
    edges = triton.next_power_of_2(max(group.rows for group in groups))
    m, k = (128, n) if pixels >= 2**16 else (64, min(n, 32))
    launch(
        _input_gradient_kernel, (ceil_div(pixels, m), ceil_div(channels, k)),
        x, dy, out, dense, groups_on(groups, x.device), pixels, b * ho * wo, len(groups), dense.shape[1],
        H=h, W=w, HO=ho, WO=wo, C=channels, STRIDE=stride, M=m, N=n, K=k, E=edges, ALIGNED=channels & -channels,
        SUM=triton_type(sum_type(out.dtype)), PRECISION=precision_of(out.dtype),
    )  # fmt: skip


def half_gradient(
    dy: Tensor,
    planes: Tensor,
    dense: Tensor,
    statistics: tuple[Tensor, Tensor],
    grads: Tensor,
    first: int,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
) -> Tensor:
    """Write the gradient behind each first half's BatchNorm, ``grads[first + plane]``.

    Args:
        dy: gradients of the second halves' planes, with a border as wide as the kinds reach (``plane_gradients``).
        statistics: mean and 1 / std of every plane, ``(plane, c)``.
        grads: ``(gradient, m, c)``, written.
        planes, dense, rows, kinds, gates: as in ``convs_forward``.
        size: batch, rows and columns of a plane.

    Returns:
        Each tile's sums of that gradient ``g`` and of ``g z``, ``(r, tiles, 2, c)``.
    """
    b, h, w = size
    channels, pixels = planes.shape[2], b * h * w
    groups, n = groups_of(rows, kinds, 1), inner_of(channels, planes.dtype)
    m = pixels_at_once(n, pixels, planes.dtype)
    tiles = ceil_div(pixels, m)
    partial = planes.new_empty(len(rows), tiles, 2, channels, dtype=sum_type(planes.dtype))
    launch(
        _half_gradient_kernel, (len(rows), tiles, ceil_div(channels, n)),
        dy, planes, dense, table_of(rows, planes.device), groups_on(groups, planes.device), gates, *statistics, grads,
        partial, pixels, dy[0].numel() // channels, tiles, first, dense.shape[1],
        H=h, W=w, BORDER=kinds.reach, C=channels, M=m, N=n, K=n,
        SUM=triton_type(sum_type(planes.dtype)), PRECISION=precision_of(planes.dtype),
    )  # fmt: skip
    return partial
