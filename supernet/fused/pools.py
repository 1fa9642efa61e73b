"""Fused 3x3 pooling: maximum and average of a state from one read, with the statistics of both.

Pools have no parameters, so all edges that leave a state share them. The position of each maximum in its window is
kept in a byte for the backward pass, which gathers: each pixel reads the nine windows that contain it. Ties go to the
first pixel of the window in row-major order, as in PyTorch. The definitions are ``naive.pools`` and
``naive.pools_backward``.

Axes: ``m`` pixel of the batch, ``c`` channel; pool 0 is the maximum, pool 1 the average.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.launch import Tile, ceil_div, launch, sum_type, tile_of
from supernet.fused.tiles import channels_of, offsets_of, pixel_of, pixels_of


@triton.jit
def _pools_kernel(
    x, pools, where, partial, H, W, HO, WO, PIXELS, TILES,
    C: tl.constexpr, STRIDE: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, HO, WO)
    k, inside_k = channels_of(block, C, K)
    largest = tl.full((M, K), float("-inf"), SUM)
    place = tl.zeros((M, K), tl.uint8)
    total = tl.zeros((M, K), SUM)
    count = tl.zeros((M,), SUM)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            hh, ww = h * STRIDE + i - 1, w * STRIDE + j - 1
            inside = valid & (hh >= 0) & (hh < H) & (ww >= 0) & (ww < W)
            mask = inside[:, None] & inside_k[None, :]
            value = tl.load(x + ((b * H + hh) * W + ww)[:, None] * C + k[None, :], mask=mask, other=0.0).to(SUM)
            above = mask & ((value > largest) | (value != value))
            largest = tl.where(above, value, largest)
            place = tl.where(above, tl.full((M, K), i * 3 + j, tl.uint8), place)
            total += value
            count += inside.to(SUM)
    at, mask = offsets_of(m, valid, k, inside_k, C)
    tl.store(where + at, place, mask=mask)
    tiled = tl.minimum(PIXELS - tile * M, M).to(SUM)
    for pool in tl.static_range(2):
        if pool == 0:
            y = largest.to(pools.dtype.element_ty)
        else:
            y = (total / tl.maximum(count, 1.0)[:, None]).to(pools.dtype.element_ty)
        tl.store(pools + pool * PIXELS * C + at, y, mask=mask)
        stored = tl.where(mask, y.to(SUM), 0.0)
        average = tl.sum(stored, 0) / tiled
        away = tl.where(mask, stored - average[None, :], 0.0)
        to = partial + ((pool * TILES + tile) * 2) * C + k
        tl.store(to, average, mask=inside_k)
        tl.store(to + C, tl.sum(away * away, 0), mask=inside_k)


@triton.jit
def _pools_backward_kernel(
    grads, where, out, H, W, HO, WO, PIXELS, OUTPUTS,
    C: tl.constexpr, STRIDE: tl.constexpr, M: tl.constexpr, K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Add the gradient of a state, gathered from the windows around each pixel, to ``out``."""
    tile, block = tl.program_id(0), tl.program_id(1)
    m, valid = pixels_of(tile, PIXELS, M)
    b, h, w = pixel_of(m, H, W)
    k, inside_k = channels_of(block, C, K)
    total = tl.zeros((M, K), SUM)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            hh, ww = h + 1 - i, w + 1 - j
            inside = valid & (hh >= 0) & (ww >= 0) & (hh % STRIDE == 0) & (ww % STRIDE == 0)
            hh, ww = hh // STRIDE, ww // STRIDE
            inside = inside & (hh < HO) & (ww < WO)
            mask = inside[:, None] & inside_k[None, :]
            at = ((b * HO + hh) * WO + ww)[:, None] * C + k[None, :]
            place = tl.load(where + at, mask=mask, other=255)
            largest = tl.load(grads + at, mask=mask, other=0.0).to(SUM)
            total += tl.where(place == i * 3 + j, largest, 0.0)
            rows = tl.minimum(hh * STRIDE + 1, H - 1) - tl.maximum(hh * STRIDE - 1, 0) + 1
            columns = tl.minimum(ww * STRIDE + 1, W - 1) - tl.maximum(ww * STRIDE - 1, 0) + 1
            average = tl.load(grads + OUTPUTS * C + at, mask=mask, other=0.0).to(SUM)
            total += average / tl.maximum(rows * columns, 1).to(SUM)[:, None]
    at, mask = offsets_of(m, valid, k, inside_k, C)
    before = tl.load(out + at, mask=mask, other=0.0).to(SUM)
    tl.store(out + at, (before + total).to(out.dtype.element_ty), mask=mask)


def pools_forward(x: Tensor, pools: Tensor, where: Tensor, stride: int) -> tuple[Tensor, Tile]:
    """Max-pool and average-pool a state.

    Args:
        x: ``(b, h, w, c)``, contiguous.
        pools: ``(2, m, c)``, written.
        where: positions of the maxima in their windows, 0 to 8, ``(m, c)``, uint8, written.
        stride: 1 or 2.

    Returns:
        Mean and sum of squared deviations of each tile, ``(2, tiles, 2, c)``, and the tile size.
    """
    b, h, w, channels = x.shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    pixels = b * ho * wo
    tile = tile_of(pixels, channels)
    partial = pools.new_empty(2, tile.count, 2, channels, dtype=sum_type(x.dtype))
    launch(
        _pools_kernel, (tile.count, ceil_div(channels, tile.k)),
        x, pools, where, partial, h, w, ho, wo, pixels, tile.count, C=channels, STRIDE=stride,
        M=tile.m, K=tile.k, SUM=tile.sums(x.dtype),
    )  # fmt: skip
    return partial, tile


def pools_backward(grads: Tensor, where: Tensor, out: Tensor, stride: int) -> None:
    """Add the gradient of a state through its pools to ``out``.

    Args:
        grads: gradients of the max-pooled and the average-pooled state, ``(2, m, c)``.
        where, stride: as in ``pools_forward``.
        out: ``(b, h, w, c)``, contiguous.
    """
    b, h, w, channels = out.shape
    ho, wo = ceil_div(h, stride), ceil_div(w, stride)
    tile = tile_of(b * h * w, channels)
    launch(
        _pools_backward_kernel, (tile.count, ceil_div(channels, tile.k)),
        grads, where, out, h, w, ho, wo, b * h * w, b * ho * wo, C=channels,
        STRIDE=stride, M=tile.m, K=tile.k, SUM=tile.sums(out.dtype),
    )  # fmt: skip
