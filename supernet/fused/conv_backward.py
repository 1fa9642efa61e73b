"""Fused separable convolutions, backward: gradients of the depthwise outputs, of the state, and between both halves.

The gradient of a plane is ``a g + b y + s``, BatchNorm's backward with the coefficients that
``supernet.fused.batch_norm`` prepares; it is formed where it is read and never stored. A state's gradient is summed
over edges and candidates inside one kernel. Nothing is added atomically, so the same input gives the same bits. The
gradients of the weights are in ``conv_weight_backward``; the definitions are in ``naive``.

Axes: as in ``supernet.fused.conv_forward``.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.conv_forward import Kinds
from supernet.fused.launch import PRECISION, ceil_div, launch, many_tiles_of, sum_type, tile_of
from supernet.fused.tables import CONV_BEHIND, CONV_GATE, CONV_KIND, CONV_SLOT, CONV_SOURCE, CONV_TARGET, entry
from supernet.fused.tiles import channels_of, load_channels, load_plane, offsets_of, pixel_of, pixels_of


@triton.jit
def plane_gradient(grads, planes, a, b, s, behind, target, m, valid, n, inside_n, C, PIXELS, SUM: tl.constexpr):
    """Return a tile of a plane's gradient, ``a g + b y + s``, ``(m, n)``."""
    at, mask = offsets_of(m, valid, n, inside_n, C)
    g = load_plane(grads, behind, at, mask, PIXELS, C, SUM)
    y = load_plane(planes, target, at, mask, PIXELS, C, SUM)
    a_n = load_channels(a, target, n, inside_n, C, SUM)
    b_n = load_channels(b, target, n, inside_n, C, SUM)
    s_n = load_channels(s, target, n, inside_n, C, SUM)
    return tl.where(mask, g * a_n[None, :] + y * b_n[None, :] + s_n[None, :], 0.0)


@triton.jit
def _pointwise_backward_kernel(
    grads, planes, table, gates, a, b, s, out, pointwise, PIXELS,
    C: tl.constexpr, M: tl.constexpr, K: tl.constexpr, N: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradient of each depthwise output, ``out[r] = dy p``."""
    row, tile = tl.program_id(0), tl.program_id(1)
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    target, behind = entry(table, row, CONV_TARGET), entry(table, row, CONV_BEHIND)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    m, valid = pixels_of(tile, PIXELS, M)
    k = tl.arange(0, N)
    inside_k = k < C
    total = tl.zeros((M, N), SUM)
    for n0 in range(0, C, K):
        n = n0 + tl.arange(0, K)
        inside_n = n < C
        dy = plane_gradient(grads, planes, a, b, s, behind, target, m, valid, n, inside_n, C, PIXELS, SUM)
        p = tl.zeros((K, N), out.dtype.element_ty)
        for which in tl.static_range(len(pointwise)):
            if kind == which:
                p_at = pointwise[which] + slot * C * C + n[:, None] * C + k[None, :]
                p = tl.load(p_at, mask=inside_n[:, None] & inside_k[None, :], other=0.0).to(out.dtype.element_ty)
        total += tl.dot(dy.to(out.dtype.element_ty), p, out_dtype=SUM, input_precision=PRECISION)
    at = out + row.to(tl.int64) * PIXELS * C + m[:, None] * C + k[None, :]
    tl.store(at, total.to(out.dtype.element_ty), mask=valid[:, None] & inside_k[None, :])


@triton.jit
def _transposed(
    d, weight, b, h, w, valid, k, inside_k,
    HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr, SIDE: tl.constexpr,
    DILATION: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Return the transposed depthwise convolution of ``d``, the gradient of a tile of input pixels, ``(m, k)``."""
    total = tl.zeros((b.shape[0], k.shape[0]), SUM)
    for i in range(SIDE):
        for j in tl.static_range(SIDE):
            hh = h - (i - SIDE // 2) * DILATION
            ww = w - (j - SIDE // 2) * DILATION
            inside = valid & (hh >= 0) & (ww >= 0)
            if STRIDE > 1:
                inside = inside & (hh % STRIDE == 0) & (ww % STRIDE == 0)
                hh = hh // STRIDE
                ww = ww // STRIDE
            inside = inside & (hh < HO) & (ww < WO)
            at = d + ((b * HO + hh) * WO + ww)[:, None] * C + k[None, :]
            value = tl.load(at, mask=inside[:, None] & inside_k[None, :], other=0.0).to(SUM)
            tap = tl.load(weight + (k * SIDE + i) * SIDE + j, mask=inside_k, other=0.0).to(SUM)
            total += value * tap[None, :]
    return total


@triton.jit
def _input_gradient_kernel(
    x, d, table, gates, out, depthwise, PIXELS, OUTPUTS, ROWS,
    H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, C: tl.constexpr, STRIDE: tl.constexpr,
    SIDES: tl.constexpr, DILATIONS: tl.constexpr,
    M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Add the gradient of a state, summed over all its planes and masked by its ReLU, to ``out``."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, H, W)
    k, inside_k = channels_of(block, C, K)
    total = tl.zeros((M, K), SUM)
    for row in range(0, ROWS):
        kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
        live = tl.load(gates + entry(table, row, CONV_GATE)) != 0
        for which in tl.static_range(len(SIDES)):
            if (kind == which) & live:
                weight = depthwise[which] + slot * C * SIDES[which] * SIDES[which]
                total += _transposed(
                    d, weight, b, h, w, valid, k, inside_k, HO, WO, C, STRIDE, SIDES[which], DILATIONS[which], SUM
                )
        d += OUTPUTS * C
    at, mask = offsets_of(m, valid, k, inside_k, C)
    state = tl.load(x + at, mask=mask, other=0.0)
    before = tl.load(out + at, mask=mask, other=0.0).to(SUM)
    tl.store(out + at, (before + tl.where(state > 0, total, 0.0)).to(out.dtype.element_ty), mask=mask)


@triton.jit
def _half_gradient_kernel(
    d, planes, table, gates, mean, rstd, grads, partial, depthwise, PIXELS, TILES, FIRST,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, SIDES: tl.constexpr, DILATIONS: tl.constexpr,
    M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Write the gradient behind each first half's BatchNorm, and the sums that BatchNorm's backward needs."""
    row, tile, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kind, slot = entry(table, row, CONV_KIND), entry(table, row, CONV_SLOT)
    source = entry(table, row, CONV_SOURCE)
    if tl.load(gates + entry(table, row, CONV_GATE)) == 0:
        return
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, H, W)
    k, inside_k = channels_of(block, C, K)
    total = tl.zeros((M, K), SUM)
    for which in tl.static_range(len(SIDES)):
        if kind == which:
            weight = depthwise[which] + slot * C * SIDES[which] * SIDES[which]
            d_row = d + row.to(tl.int64) * PIXELS * C
            total = _transposed(
                d_row, weight, b, h, w, valid, k, inside_k, H, W, C, 1, SIDES[which], DILATIONS[which], SUM
            )
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


def depthwise_output_gradient(
    planes: Tensor, grads: Tensor, coefficients: Tensor, table: Tensor, kinds: Kinds, gates: Tensor
) -> Tensor:
    """Return the gradient of each row's depthwise output, ``(r, m, c)``.

    Args:
        planes: ``(plane, m, c)``, as ``convs_forward`` wrote them.
        grads: the gradients that arrive behind the planes' BatchNorms, ``(gradient, m, c)``.
        coefficients: ``a``, ``b`` and ``s`` of every plane, ``(3, plane, c)``.
        table: ``(r, 6)``, rows as ``supernet.fused.tables.ConvRow``.
        kinds: the weights.
        gates: flattened; of rows whose gate is 0 nothing is written.
    """
    _, pixels, channels = planes.shape
    tile = tile_of(pixels, channels)
    a, slope, constant = coefficients
    d = planes.new_empty(len(table), pixels, channels)
    launch(
        _pointwise_backward_kernel, (len(table), tile.count),
        grads, planes, table, gates, a, slope, constant, d, kinds.pointwise, pixels,
        C=channels, M=tile.m, K=tile.k, N=tile.n, SUM=tile.sums(d.dtype), PRECISION=PRECISION,
    )  # fmt: skip
    return d


def input_gradient(x: Tensor, d: Tensor, out: Tensor, table: Tensor, kinds: Kinds, gates: Tensor, stride: int) -> None:
    """Add the gradient of the state ``x``, from the gradients ``d`` of its rows' depthwise outputs, to ``out``.

    Args:
        x, out: ``(b, h, w, c)``, contiguous.
        d: ``(r, m, c)`` (``depthwise_output_gradient``).
        table, kinds, gates, stride: as in ``convs_forward``.
    """
    b, h, w, channels = x.shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    tile = many_tiles_of(b * h * w, channels)
    launch(
        _input_gradient_kernel, (tile.count, ceil_div(channels, tile.k)),
        x, d, table, gates, out, kinds.depthwise,
        b * h * w, b * ho * wo, len(table), H=h, W=w, HO=ho, WO=wo, C=channels, STRIDE=stride, SIDES=kinds.sides,
        DILATIONS=kinds.dilations,
        M=tile.m, K=tile.k, SUM=tile.sums(out.dtype),
    )  # fmt: skip


def half_gradient(
    d: Tensor,
    planes: Tensor,
    statistics: tuple[Tensor, Tensor],
    grads: Tensor,
    first: int,
    table: Tensor,
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
) -> Tensor:
    """Write the gradient behind each first half's BatchNorm, ``grads[first + plane]``.

    Args:
        d: gradients of the second halves' depthwise outputs, ``(r, m, c)``.
        statistics: mean and 1 / std of every plane, ``(plane, c)``.
        grads: ``(gradient, m, c)``, written.
        planes, table, kinds, gates, size: as in ``convs_forward``.

    Returns:
        Each tile's sums of that gradient ``g`` and of ``g z``, ``(r, tiles, 2, c)``.
    """
    b, h, w = size
    channels, pixels = planes.shape[2], b * h * w
    tile = tile_of(pixels, channels)
    partial = planes.new_empty(len(table), tile.count, 2, channels, dtype=sum_type(planes.dtype))
    launch(
        _half_gradient_kernel, (len(table), tile.count, ceil_div(channels, tile.k)),
        d, planes, table, gates, *statistics, grads, partial, kinds.depthwise,
        pixels, tile.count, first, H=h, W=w, C=channels, SIDES=kinds.sides, DILATIONS=kinds.dilations, M=tile.m,
        K=tile.k, SUM=tile.sums(d.dtype),
    )  # fmt: skip
    return partial
