"""Fused separable convolutions, forward: ReLU, depthwise, pointwise of all edges and candidates that leave one state.

A *plane* is the output of one candidate on one edge before its BatchNorm, ``(m, c)``. One kernel computes all planes
of a state together with their statistics, as dense convolutions (``supernet.fused.dense``). The second half of a
separable convolution reads its plane normalized and rectified, with a border of zeros as wide as the kernels reach, so
that no pixel has to be looked at whether it lies inside. Rows whose gate is 0 are skipped on the device.

Images are channels-last. Storage is float32, bfloat16 or float16, sums are float32; float64 throughout for float64
storage, which Triton's interpreter runs. The definition is ``naive.convs_forward``; the backward pass is in
``conv_backward`` and ``conv_weight_backward``.

Axes: ``r`` row of a launch table, ``m`` pixel of the batch, ``k`` input and ``c`` or ``n`` output channel, ``t`` tap,
``e`` slot in a stacked parameter.
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
from supernet.fused.launch import Tile, aligned, ceil_div, launch, sum_type, tile_of
from supernet.fused.rows import ConvRow
from supernet.fused.tables import COLUMNS, CONV_GATE, CONV_SOURCE, CONV_TARGET, entry, table_of
from supernet.fused.tiles import (
    channels_of,
    load_channels,
    load_plane,
    offsets_of,
    pixel_of,
    pixels_of,
    rectified,
    within_border,
)


@triton.jit
def _forward_kernel(
    x, planes, dense, table, groups, gates, partial, PIXELS, INPUTS, TILES, TAPS,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    BORDER: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, E: tl.constexpr, SUM: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute the planes of a group. ``INPUTS`` is the number of pixels between its rows' inputs; 0 for one state."""
    group, tile = tl.program_id(0), tl.program_id(1)
    first, count, side, dilation, inverse = load_group(groups, group)
    column = tl.arange(0, E * N)
    row, n = first + column // N, column % N
    known = column // N < count
    gate = tl.load(table + row * COLUMNS + CONV_GATE, mask=known, other=0)
    live = known & (tl.load(gates + gate, mask=known, other=0.0) != 0)
    if tl.max(live.to(tl.int32), 0) == 0:
        return
    inside = known & (n < C)
    x += first.to(tl.int64) * INPUTS * C
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(tl.minimum(m, PIXELS - 1), HO, WO)
    h = h * STRIDE - side // 2 * dilation
    w = w * STRIDE - side // 2 * dilation
    begin = (b * (H + 2 * BORDER) + h + BORDER) * (W + 2 * BORDER) + w + BORDER
    blocks: tl.constexpr = (C + K - 1) // K
    total = tl.zeros((M, E * N), SUM)
    for step in tl.range(0, side * side * blocks):
        tap = step // blocks
        k = step % blocks * K + tl.arange(0, K)
        inside_k = k < C
        line = divided(tap, inverse)
        down, across = line * dilation, (tap - line * side) * dilation
        start = x + (down * (W + 2 * BORDER) + across) * C
        mask = inside_k[None, :]
        if BORDER == 0:
            inside_m = (h + down >= 0) & (h + down < H) & (w + across >= 0) & (w + across < W)
            mask = mask & inside_m[:, None]
        left = tl.load(start + begin[:, None] * C + k[None, :], mask=mask, other=0.0)
        at = dense + ((row * TAPS + tap) * C + n)[:, None] * C + k[None, :]
        right = tl.load(at, mask=inside[:, None] & inside_k[None, :], other=0.0)
        if BORDER == 0:
            left = rectified(left)
        total += tl.dot(left, tl.trans(right), out_dtype=SUM, input_precision=PRECISION)
    y = total.to(planes.dtype.element_ty)
    written = live & inside
    target = tl.load(table + row * COLUMNS + CONV_TARGET, mask=known, other=0).to(tl.int64)
    mask = valid[:, None] & written[None, :]
    tl.store(planes + (target * PIXELS * C + n)[None, :] + m[:, None] * C, y, mask=mask)
    stored = tl.where(mask, y.to(SUM), 0.0)
    average = tl.sum(stored, 0) / tl.minimum(PIXELS - tile * M, M).to(SUM)
    away = tl.where(mask, stored - average[None, :], 0.0)
    to = partial + ((row * TILES + tile) * 2) * C + n
    tl.store(to, average, mask=written)
    tl.store(to + C, tl.sum(away * away, 0), mask=written)


@triton.jit
def _normalized_kernel(
    planes, out, table, gates, mean, rstd, PIXELS, OUTPUTS,
    H: tl.constexpr, W: tl.constexpr, BORDER: tl.constexpr, C: tl.constexpr, M: tl.constexpr, K: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    row, tile, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    source = entry(table, row, CONV_SOURCE)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    to, valid = pixels_of(tile, OUTPUTS, M)
    m, inside = within_border(to, H, W, BORDER)
    k, inside_k = channels_of(block, C, K)
    at, mask = offsets_of(m, valid & inside, k, inside_k, C)
    y = load_plane(planes, source, at, mask, PIXELS, C, SUM)
    average = load_channels(mean, source, k, inside_k, C, SUM)
    scale = load_channels(rstd, source, k, inside_k, C, SUM)
    z = tl.where(mask, rectified((y - average[None, :]) * scale[None, :]), 0.0)
    at, mask = offsets_of(to, valid, k, inside_k, C)
    tl.store(out + row.to(tl.int64) * OUTPUTS * C + at, z.to(out.dtype.element_ty), mask=mask)


def normalized_sources(
    planes: Tensor,
    rows: Sequence[ConvRow],
    gates: Tensor,
    statistics: tuple[Tensor, Tensor],
    size: tuple[int, int, int],
    border: int,
) -> Tensor:
    """Return each row's source plane, normalized and rectified, ``(r, b, h + 2 border, w + 2 border, c)``.

    Undefined where the gate is 0.

    Args:
        planes: ``(plane, m, c)``.
        statistics: mean and 1 / std of every plane, ``(plane, c)``.
        size: batch, rows and columns of a plane.
        border: width of the border of zeros.
    """
    b, h, w = size
    _, pixels, channels = planes.shape
    out = planes.new_empty(len(rows), b, h + 2 * border, w + 2 * border, channels)
    outputs = out[0].numel() // channels
    tile = tile_of(outputs, channels)
    launch(
        _normalized_kernel, (len(rows), tile.count, ceil_div(channels, tile.k)),
        planes, out, table_of(rows, planes.device), gates, *statistics, pixels, outputs,
        H=h, W=w, BORDER=border, C=channels, M=tile.m, K=tile.k, SUM=tile.sums(planes.dtype),
    )  # fmt: skip
    return out


def convs_forward(
    x: Tensor,
    planes: Tensor,
    dense: Tensor,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    gates: Tensor,
    stride: int = 1,
    border: int = 0,
) -> tuple[Tensor, Tile]:
    """Compute the planes of a launch.

    Args:
        x: the state, ``(b, h, w, k)``, contiguous; for second halves each row's input (``normalized_sources``).
        planes: ``(plane, m, c)``; the rows' targets are written.
        dense: the rows' weights, ``(r, t, c, k)`` (``supernet.fused.dense.dense_weights``).
        rows: of the launch.
        kinds: of the convolutions.
        stride: of the depthwise convolutions.
        border: of each row's input, as wide as the kinds reach.
        gates: flattened; rows whose gate is 0 are not computed.

    Returns:
        Mean and sum of squared deviations of each row's tiles, ``(r, tiles, 2, c)``, and the tile size.
    """
    b, h, w, channels = x.shape[-4:]
    inputs, h, w = b * h * w, h - 2 * border, w - 2 * border
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    pixels, n, k = b * ho * wo, aligned(channels), inner_of(channels, planes.dtype)
    most = max(1, columns_at_once(planes.dtype) // n) if x.dim() == 4 else 1
    groups = groups_of(rows, kinds, most)
    edges = triton.next_power_of_2(max(group.rows for group in groups))
    m = pixels_at_once(edges * n, pixels, planes.dtype, masked=border == 0 and channels < n)
    tile = Tile(m, k, n, ceil_div(pixels, m))
    partial = planes.new_empty(len(rows), tile.count, 2, channels, dtype=sum_type(planes.dtype))
    launch(
        _forward_kernel, (len(groups), tile.count),
        x, planes, dense, table_of(rows, x.device), groups_on(groups, x.device), gates, partial,
        pixels, inputs if x.dim() == 5 else 0, tile.count, dense.shape[1],
        H=h, W=w, HO=ho, WO=wo, C=channels, STRIDE=stride, BORDER=border, M=m, N=n, K=k, E=edges,
        SUM=tile.sums(planes.dtype), PRECISION=precision_of(planes.dtype),
    )  # fmt: skip
    return partial, tile
