"""Kernels of ReLU, 1x1 convolution and BatchNorm, backward.

With ``g`` the gradient of the output, ``z`` the normalized plane ``y`` and the sums of ``g`` and of ``g z``, that of
the plane is ``dy = a g + b y + s`` (``supernet.fused.batch_norm``). It is formed where it is read: once for the image
and the weights, where one program sees all output channels of a part. Sums over tiles and over splits of the pixels are
added in order by the last program, so the same input gives the same bits.

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
from supernet.fused.layers.shape import PROGRAMS, Shape, tile_of, warps_of
from supernet.fused.tiles import channels_of, is_last, load_channels, offsets_of, pixel_of, pixels_of, rectified

PIXELS_AT_ONCE = 64
"""Pixels of a tile where the weights' gradient is summed: the inner dimension of its products."""

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
def _load_coefficients(coefficients, c, inside, C: tl.constexpr, SUM: tl.constexpr):
    """Return ``a``, ``b``, ``s`` of channels, ``(1, c)`` each; 0 where a channel does not exist."""
    a = load_channels(coefficients, 0, c, inside, C, SUM)
    b = load_channels(coefficients, 1, c, inside, C, SUM)
    s = load_channels(coefficients, 2, c, inside, C, SUM)
    return a[None, :], b[None, :], s[None, :]


@triton.jit
def _plane_gradient(g, y, a, b, s, at, mask):
    """Return a tile of the plane's gradient, rounded to the storage type."""
    grad, plane = tl.load(g + at, mask=mask, other=0.0), tl.load(y + at, mask=mask, other=0.0)
    found = a * grad.to(a.dtype) + (b * plane.to(a.dtype) + s)
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
    for n0 in tl.range(0, width, N, num_stages=1):
        n = n0 + tl.arange(0, N)
        c = part * SPLIT + n
        a, b, s = _load_coefficients(coefficients, c, n < width, C, SUM)
        at, mask = offsets_of(m, valid, c, n < width, C)
        dy = _plane_gradient(g, y, a, b, s, at, mask)
        at, mask = offsets_of(n, n < width, k, inside_k, CIN)
        right = load_weights(weights, part, at, mask, dy.dtype)
        total += tl.dot(dy, right, out_dtype=SUM, input_precision=PRECISION)
    pixel, exists = pixels_read(m, part, H, W, HO, WO, STRIDE)
    at, mask = offsets_of(pixel, valid & exists, k, inside_k, CIN)
    value = tl.load(x + at, mask=mask, other=0.0)
    tl.store(out + at, tl.where(value > 0, total, 0.0).to(value.dtype), mask=mask)
    if STRIDE == 2:
        _store_zeros(out, m, valid, part, k, inside_k, H, W, HO, WO, CIN)


@triton.jit
def _store_zeros(out, m, valid, part, k, inside_k, H, W, HO, WO, CIN: tl.constexpr):
    """Write 0 beside the pixels that a part of a factorized reduction reads, where none reads."""
    b, h, w = pixel_of(m, HO, WO)
    h, w = h * 2 + part, w * 2 + 1 - part
    at, mask = offsets_of((b * H + h) * W + w, valid & (h < H) & (w < W), k, inside_k, CIN)
    tl.store(out + at, tl.zeros(at.shape, out.dtype.element_ty), mask=mask)


@triton.jit
def _sum_of_blocks(blocks, COUNT, at, SIZE: tl.constexpr, SUM: tl.constexpr):
    """Return the sum of blocks of ``SIZE`` values each, read at offsets ``at``."""
    total = tl.zeros(at.shape, SUM)
    for block in range(0, COUNT):
        total += tl.load(blocks + block * SIZE + at, cache_modifier=".cg")
    return total


@triton.jit
def _pointwise_gradients_kernel(
    x, weights, g, y, coefficients, out, parts, grads, counters, PIXELS, TILES, SPLITS, H, W, HO, WO,
    CIN: tl.constexpr, C: tl.constexpr, SPLIT: tl.constexpr, STRIDE: tl.constexpr, IMAGE: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, GROUP: tl.constexpr, SUM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum the weights' gradient over a split of the pixels; the last programs of a group of splits, and of all, add
    those. With ``IMAGE`` also write the image's, as ``_image_gradient_kernel`` does; ``N`` is then a whole part."""
    split, column = tl.program_id(0), tl.program_id(1)
    BLOCKS: tl.constexpr = (CIN + K - 1) // K
    k, inside_k = channels_of(column % BLOCKS, CIN, K)
    part, n, inside_n = columns_of(column // BLOCKS, SPLIT, C, N)
    if IMAGE:
        back = load_weights(weights, part, *offsets_of(n, inside_n, k, inside_k, CIN), x.dtype.element_ty)
    c = part * SPLIT + n
    a, b, s = _load_coefficients(coefficients, c, inside_n, C, SUM)
    total = tl.zeros((N, K), SUM)
    for tile in tl.range(split, TILES, SPLITS, num_stages=1):
        m, valid = pixels_of(tile, PIXELS, M)
        to, exist = offsets_of(m, valid, c, inside_n, C)
        dy = _plane_gradient(g, y, a, b, s, to, exist)
        pixel, exists = pixels_read(m, part, H, W, HO, WO, STRIDE)
        at, mask = offsets_of(pixel, valid & exists, k, inside_k, CIN)
        right = rectified(tl.load(x + at, mask=mask, other=0.0))
        total += tl.dot(tl.trans(dy), right, out_dtype=SUM, input_precision=PRECISION)
        if IMAGE:
            found = tl.dot(dy, back, out_dtype=SUM, input_precision=PRECISION)
            tl.store(out + at, tl.where(right > 0, found, 0.0).to(right.dtype), mask=mask)
            if STRIDE == 2:
                _store_zeros(out, m, valid, part, k, inside_k, H, W, HO, WO, CIN)
    SIZE: tl.constexpr = N * K
    groups = (SPLITS + GROUP - 1) // GROUP
    group = split // GROUP
    parts += column * (SPLITS + groups) * SIZE
    counters += column * (1 + groups)
    own = tl.arange(0, N)[:, None] * K + tl.arange(0, K)[None, :]
    tl.store(parts + split * SIZE + own, total)
    count = tl.minimum(SPLITS - group * GROUP, GROUP)
    if is_last(counters + 1 + group, count):
        total = _sum_of_blocks(parts + group * GROUP * SIZE, count, own, SIZE, SUM)
        tl.store(parts + (SPLITS + group) * SIZE + own, total)
        if is_last(counters, groups):
            total = _sum_of_blocks(parts + SPLITS * SIZE, groups, own, SIZE, SUM)
            to, exist = offsets_of(n, inside_n, k, inside_k, CIN)
            for which in tl.static_range(len(grads)):
                tl.store(grads[which] + to, total.to(grads[which].dtype.element_ty), mask=exist & (part == which))


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


def gradients(
    x: Tensor,
    weights: tuple[Tensor, ...],
    grad: Tensor,
    plane: Tensor,
    coefficients: Tensor,
    of_image: bool,
    of_weights: bool,
) -> list[Tensor]:
    """Return the gradient of the image and those of each part's weights, if wanted.

    One launch computes both where a part's output channels are one block: the image's gradient sums over all of them.
    In float32 there are two, since the factors of one product, taken apart, already fill a program's registers.

    Args:
        x, weights: as of ``pointwise_forward.product``.
        grad, plane, coefficients: as of ``coefficients_of``.
    """
    shape, given = Shape.of(x, weights), (x, weights, grad, plane, coefficients)
    at_once = x.dtype != torch.float32 and shape.widest <= shape.blocks(x.dtype)[0]
    if of_image and of_weights and at_once:
        image = torch.empty_like(x)
        return [image, *_weight_gradients(*given, image)]
    found = [_image_gradient(*given)] if of_image else []
    return found + _weight_gradients(*given) if of_weights else found


def _image_gradient(
    x: Tensor, weights: tuple[Tensor, ...], grad: Tensor, plane: Tensor, coefficients: Tensor
) -> Tensor:
    """Return the gradient of ``x``."""
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


def _weight_gradients(
    x: Tensor,
    weights: tuple[Tensor, ...],
    grad: Tensor,
    plane: Tensor,
    coefficients: Tensor,
    image: Tensor | None = None,
) -> list[Tensor]:
    """Return the gradients of each part's weights; that of ``x`` is written to ``image``."""
    shape = Shape.of(x, weights)
    n, k = shape.blocks(x.dtype)
    tiles, columns = ceil_div(shape.pixels, PIXELS_AT_ONCE), shape.columns(n) * ceil_div(shape.inputs, k)
    splits = min(tiles, max(1, PROGRAMS // columns))
    groups = ceil_div(splits, GROUP)
    parts = plane.new_empty(columns, splits + groups, n, k, dtype=coefficients.dtype)
    grads = [torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in weights]
    launch(
        _pointwise_gradients_kernel, (splits, columns),
        x, weights, grad, plane, coefficients, x if image is None else image, parts, tuple(grads),
        zero_counters(x.device, columns * (1 + groups)), shape.pixels, tiles, splits, *shape.sizes, CIN=shape.inputs,
        C=shape.channels, SPLIT=shape.split, STRIDE=shape.stride, IMAGE=image is not None, M=PIXELS_AT_ONCE, N=n, K=k,
        GROUP=GROUP, SUM=triton_type(parts.dtype), PRECISION=precision_of(x.dtype),
        warps=warps_of(splits * columns, x.dtype),
    )  # fmt: skip
    return grads
