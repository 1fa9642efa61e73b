"""Kernels of ReLU, 1x1 convolution and BatchNorm, backward.

With ``g`` the gradient of the output, ``z`` the normalized plane ``y`` and the sums of ``g`` and of ``g z``, that of
the plane is ``dy = a g + b y + s`` (``supernet.fused.batch_norm``). It is formed where it is read. Sums over tiles and
over splits of the pixels are added in order by the last program, so the same input gives the same bits.

Axes: as in ``supernet.fused.layers.pointwise_forward``.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.batch_norm import slope_and_constant, sums_of_tiles, tiles_at_once
from supernet.fused.dense import precision_of
from supernet.fused.launch import block_of, ceil_div, launch, sum_type, triton_type, zero_counters
from supernet.fused.layers.pointwise_forward import columns_of, load_weights, pixels_read
from supernet.fused.layers.shape import Shape, tile_of
from supernet.fused.tiles import channels_of, is_last, load_channels, offsets_of, pixel_of, pixels_of, rectified

PROGRAMS = 256
"""Programs that a launch for the weights' gradient should have: two for each multiprocessor of a large GPU."""

PIXELS_AT_ONCE = 64
"""Pixels of a tile of that launch: the inner dimension of its products."""

GROUP = 16
"""Splits whose sums are added by the last of them, before the last of all adds the groups'."""


@triton.jit
def _gradient_sums_kernel(
    g, y, mean, rstd, scale, partial, coefficients, to_scale, to_shift, counters, PIXELS, TILES,
    C: tl.constexpr, AFFINE: tl.constexpr, TRAINING: tl.constexpr, M: tl.constexpr, K: tl.constexpr, T: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    """Sum over a tile; the last program of a block of channels writes ``a``, ``b``, ``s``, and the gradients of scale
    and shift."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    k, inside = channels_of(block, C, K)
    at, mask = offsets_of(m, valid, k, inside, C)
    average, rho = load_channels(mean, 0, k, inside, C, SUM), load_channels(rstd, 0, k, inside, C, SUM)
    grad = tl.load(g + at, mask=mask, other=0.0).to(SUM)
    z = (tl.load(y + at, mask=mask, other=0.0).to(SUM) - average[None, :]) * rho[None, :]
    to = partial + tile * 2 * C + k
    tl.store(to, tl.sum(grad, 0), mask=inside)
    tl.store(to + C, tl.sum(grad * z, 0), mask=inside)
    if is_last(counters + block, TILES):
        total, moment = sums_of_tiles(partial, k, inside, TILES, C, T, K, SUM)
        a = rho
        if AFFINE:
            a = rho * load_channels(scale, 0, k, inside, C, SUM)
            tl.store(to_scale + k, moment, mask=inside)
            tl.store(to_shift + k, total, mask=inside)
        slope = tl.zeros((K,), SUM)
        constant = tl.zeros((K,), SUM)
        if TRAINING:
            slope, constant = slope_and_constant(a, rho, average, total, moment, PIXELS)
        tl.store(coefficients + k, a, mask=inside)
        tl.store(coefficients + C + k, slope, mask=inside)
        tl.store(coefficients + 2 * C + k, constant, mask=inside)


@triton.jit
def _plane_gradient(g, y, coefficients, m, valid, c, inside, C: tl.constexpr, SUM: tl.constexpr):
    """Return a tile of the plane's gradient, rounded to the storage type."""
    at, mask = offsets_of(m, valid, c, inside, C)
    grad, plane = tl.load(g + at, mask=mask, other=0.0), tl.load(y + at, mask=mask, other=0.0)
    a, b, s = (
        load_channels(coefficients, 0, c, inside, C, SUM),
        load_channels(coefficients, 1, c, inside, C, SUM),
        load_channels(coefficients, 2, c, inside, C, SUM),
    )
    found = a[None, :] * grad.to(SUM) + b[None, :] * plane.to(SUM) + s[None, :]
    return tl.where(mask, found, 0.0).to(grad.dtype)


@triton.jit
def _image_gradient_kernel(
    x, weights, g, y, coefficients, out, PIXELS, H, W, HO, WO,
    CIN: tl.constexpr, C: tl.constexpr, SPLIT: tl.constexpr, STRIDE: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradient at the pixels that a tile of a part reads; with two parts, 0 at their neighbours in the row,
    which none reads."""
    tile, column = tl.program_id(0), tl.program_id(1)
    BLOCKS: tl.constexpr = (CIN + K - 1) // K
    part = column // BLOCKS
    k, inside_k = channels_of(column % BLOCKS, CIN, K)
    width = tl.where(part == 0, SPLIT, C - SPLIT)
    m, valid = pixels_of(tile, PIXELS, M)
    total = tl.zeros((M, K), SUM)
    for n0 in range(0, width, N):
        n = n0 + tl.arange(0, N)
        dy = _plane_gradient(g, y, coefficients, m, valid, part * SPLIT + n, n < width, C, SUM)
        at, mask = offsets_of(n, n < width, k, inside_k, CIN)
        right = load_weights(weights, part, at, mask, dy.dtype)
        total += tl.dot(dy, right, out_dtype=SUM, input_precision=PRECISION)
    pixel, exists = pixels_read(m, part, H, W, HO, WO, STRIDE)
    at, mask = offsets_of(pixel, valid & exists, k, inside_k, CIN)
    value = tl.load(x + at, mask=mask, other=0.0)
    tl.store(out + at, tl.where(value > 0, total, 0.0).to(out.dtype.element_ty), mask=mask)
    if STRIDE == 2:
        b, h, w = pixel_of(m, HO, WO)
        h, w = h * 2 + part, w * 2 + 1 - part
        at, mask = offsets_of((b * H + h) * W + w, valid & (h < H) & (w < W), k, inside_k, CIN)
        tl.store(out + at, tl.zeros((M, K), out.dtype.element_ty), mask=mask)


@triton.jit
def _sum_of_blocks(blocks, COUNT, v, SIZE: tl.constexpr, GROUP: tl.constexpr):
    """Return the sum of up to ``GROUP`` blocks of ``SIZE`` values each at their values ``v``, ``(v,)``."""
    s = tl.arange(0, GROUP)
    mask = (s < COUNT)[:, None] & (v < SIZE)[None, :]
    return tl.sum(tl.load(blocks + s[:, None] * SIZE + v[None, :], mask=mask, other=0.0, cache_modifier=".cg"), 0)


@triton.jit
def _pointwise_weight_kernel(
    x, g, y, coefficients, parts, grads, counters, PIXELS, TILES, SPLITS, H, W, HO, WO,
    CIN: tl.constexpr, C: tl.constexpr, SPLIT: tl.constexpr, STRIDE: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    K: tl.constexpr, GROUP: tl.constexpr, V: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum over a split of the pixels; the last programs of a group of splits, and of all, add those."""
    split, column = tl.program_id(0), tl.program_id(1)
    BLOCKS: tl.constexpr = (CIN + K - 1) // K
    k, inside_k = channels_of(column % BLOCKS, CIN, K)
    part, n, inside_n = columns_of(column // BLOCKS, SPLIT, C, N)
    total = tl.zeros((N, K), SUM)
    for tile in tl.range(split, TILES, SPLITS):
        m, valid = pixels_of(tile, PIXELS, M)
        dy = _plane_gradient(g, y, coefficients, m, valid, part * SPLIT + n, inside_n, C, SUM)
        pixel, exists = pixels_read(m, part, H, W, HO, WO, STRIDE)
        at, mask = offsets_of(pixel, valid & exists, k, inside_k, CIN)
        right = rectified(tl.load(x + at, mask=mask, other=0.0))
        total += tl.dot(tl.trans(dy), right, out_dtype=SUM, input_precision=PRECISION)
    SIZE: tl.constexpr = N * K
    groups = (SPLITS + GROUP - 1) // GROUP
    group = split // GROUP
    parts += column * (SPLITS + groups) * SIZE
    counters += column * (1 + groups)
    tl.store(parts + split * SIZE + tl.arange(0, N)[:, None] * K + tl.arange(0, K)[None, :], total)
    count = tl.minimum(SPLITS - group * GROUP, GROUP)
    if is_last(counters + 1 + group, count):
        for v0 in range(0, SIZE, V):
            v = v0 + tl.arange(0, V)
            found = _sum_of_blocks(parts + group * GROUP * SIZE, count, v, SIZE, GROUP)
            tl.store(parts + (SPLITS + group) * SIZE + v, found)
        if is_last(counters, groups):
            for v0 in range(0, SIZE, V):
                v = v0 + tl.arange(0, V)
                found = _sum_of_blocks(parts + SPLITS * SIZE, groups, v, SIZE, GROUP)
                to_n, to_k = tl.min(n, 0) + v // K, tl.min(k, 0) + v % K
                inside = (to_n < tl.where(part == 0, SPLIT, C - SPLIT)) & (to_k < CIN)
                for which in tl.static_range(len(grads)):
                    to = grads[which] + to_n * CIN + to_k
                    tl.store(to, found.to(grads[which].dtype.element_ty), mask=inside & (part == which))


def coefficients_of(
    grad: Tensor, plane: Tensor, statistics: tuple[Tensor, Tensor], scale: Tensor | None, training: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return ``a``, ``b``, ``s``, ``(3, c)``, and the gradients of BatchNorm's scale and shift, where it has them.

    Args:
        grad: gradient of the output, ``(b, h, w, c)``, contiguous.
        plane: the plane before BatchNorm, ``(m, c)``.
        statistics: mean and 1 / std, ``(c,)`` each.
        training: whether they are the batch's own, so that the gradient passes through them.
    """
    pixels, channels = plane.shape
    sums, k, m = sum_type(plane.dtype), block_of(channels), tile_of(pixels, plane.dtype)
    tiles, blocks = ceil_div(pixels, m), ceil_div(channels, k)
    partial = plane.new_empty(tiles, 2, channels, dtype=sums)
    coefficients = plane.new_empty(3, channels, dtype=sums)
    affine = [] if scale is None else [torch.empty_like(scale) for _ in range(2)]
    placed = [coefficients] * 3 if scale is None else [scale, *affine]
    launch(
        _gradient_sums_kernel, (tiles, blocks),
        grad, plane, *statistics, placed[0], partial, coefficients, *placed[1:], zero_counters(plane.device, blocks),
        pixels, tiles, C=channels, AFFINE=scale is not None, TRAINING=training, M=m, K=k, T=tiles_at_once(tiles, k),
        SUM=triton_type(sums),
    )  # fmt: skip
    return coefficients, affine


def image_gradient(x: Tensor, weights: tuple[Tensor, ...], grad: Tensor, plane: Tensor, coefficients: Tensor) -> Tensor:
    """Return the gradient of ``x``; arguments as of ``pointwise_forward.product`` and ``coefficients_of``."""
    shape = Shape.of(x, weights)
    m, (n, k) = tile_of(shape.pixels, x.dtype), shape.blocks(x.dtype)
    out = torch.empty_like(x)
    launch(
        _image_gradient_kernel, (ceil_div(shape.pixels, m), shape.stride * ceil_div(shape.inputs, k)),
        x, weights, grad, plane, coefficients, out, shape.pixels, *shape.sizes, CIN=shape.inputs, C=shape.channels,
        SPLIT=shape.split, STRIDE=shape.stride, M=m, N=n, K=k, SUM=triton_type(coefficients.dtype),
        PRECISION=precision_of(x.dtype),
    )  # fmt: skip
    return out


def weight_gradients(
    x: Tensor, weights: tuple[Tensor, ...], grad: Tensor, plane: Tensor, coefficients: Tensor
) -> list[Tensor]:
    """Return the gradients of each part's weights; arguments as of ``image_gradient``."""
    shape = Shape.of(x, weights)
    n, k = shape.blocks(x.dtype)
    tiles, columns = ceil_div(shape.pixels, PIXELS_AT_ONCE), shape.columns(n) * ceil_div(shape.inputs, k)
    splits = min(tiles, max(1, PROGRAMS // columns))
    groups = ceil_div(splits, GROUP)
    parts = plane.new_empty(columns, splits + groups, n, k, dtype=coefficients.dtype)
    grads = [torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in weights]
    launch(
        _pointwise_weight_kernel, (splits, columns),
        x, grad, plane, coefficients, parts, tuple(grads), zero_counters(x.device, columns * (1 + groups)),
        shape.pixels, tiles, splits, *shape.sizes, CIN=shape.inputs, C=shape.channels, SPLIT=shape.split,
        STRIDE=shape.stride, M=PIXELS_AT_ONCE, N=n, K=k, GROUP=GROUP, V=min(n * k, 256),
        SUM=triton_type(parts.dtype), PRECISION=precision_of(x.dtype),
    )  # fmt: skip
    return grads
