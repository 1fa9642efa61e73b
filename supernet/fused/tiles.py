"""Common parts of the kernels: pixels and channels of a tile, loads of planes and of statistics, the last program.

A tile is ``M`` pixels of the batch by ``K`` channels. All functions are inlined into the kernels that call them.

Axes: ``m`` pixel of the batch, ``k`` channel.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def pixel_of(m, H, W):
    """Return batch index, row and column of a flat pixel index."""
    return m // (H * W), (m // W) % H, m % W


@triton.jit
def pixels_of(tile, PIXELS, M: tl.constexpr):
    """Return the flat pixel indices of a tile, ``(m,)``, and which of them exist."""
    m = tile * M + tl.arange(0, M)
    return m, m < PIXELS


@triton.jit
def within_border(m, H, W, BORDER: tl.constexpr):
    """Return the flat indices of the pixels of images with a border in those without, and which of them lie inside."""
    b, h, w = pixel_of(m, H + 2 * BORDER, W + 2 * BORDER)
    inside = (h >= BORDER) & (h < H + BORDER) & (w >= BORDER) & (w < W + BORDER)
    return (b * H + h - BORDER) * W + w - BORDER, inside


@triton.jit
def channels_of(block, C, K: tl.constexpr):
    """Return the channels of a block, ``(k,)``, and which of them exist."""
    k = block * K + tl.arange(0, K)
    return k, k < C


@triton.jit
def offsets_of(m, valid, k, inside_k, C):
    """Return the offsets of a tile in a plane, and its mask, both ``(m, k)``."""
    return m[:, None] * C + k[None, :], valid[:, None] & inside_k[None, :]


@triton.jit
def load_plane(planes, number, at, mask, PIXELS, C, SUM: tl.constexpr):
    """Return a tile of one of several planes, ``(m, k)``. ``number`` is widened: all planes together may be large."""
    return tl.load(planes + number.to(tl.int64) * PIXELS * C + at, mask=mask, other=0.0).to(SUM)


@triton.jit
def rectified(x):
    """Return ReLU of ``x``; as PyTorch's, it keeps what is not a number."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL).to(x.dtype)


@triton.jit
def load_channels(values, row, k, inside_k, C, SUM: tl.constexpr):
    """Return one row of a tensor that has a value for each channel, ``(k,)``."""
    return tl.load(values + row * C + k, mask=inside_k, other=0.0).to(SUM)


@triton.jit
def is_last(counter, all):
    """Return whether this program is the last of ``all`` that call this with a counter, 0 before and after.

    The last can read what the others wrote, by loads that pass by the first cache (``cache_modifier=".cg"``). What it
    sums so is summed in the order of its own loop, whichever program it is.
    """
    tl.debug_barrier()
    last = tl.atomic_add(counter, 1, sem="acq_rel", scope="gpu") == all - 1
    tl.store(counter, 0, mask=last)
    return last
