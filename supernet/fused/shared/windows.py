"""Windows of 3x3 pixels and the patches of them that a lane computes: parts of the pooling kernels.

A *patch* is some neighbouring windows of a few rows and columns. Windows next to each other share columns and rows of
pixels. What is joined of them is a tuple: sum, maximum, and the maximum's place.

Axes: ``l`` lane, a patch for each; ``k`` channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from supernet.fused.launch import PROGRAMS, WARPS, block_of, blocks_of, ceil_div
from supernet.fused.tiles import channels_of, pixel_of, pixels_of

MOST_ROWS = 8
"""Rows of a patch at most: what a lane reads is kept in registers."""


@dataclass(frozen=True)
class Patches:
    """How a launch divides the windows of an image ``(h, w)``.

    Attributes:
        rows, columns: of a patch; they divide ``h`` and ``w``.
        lanes, k: patches and channels of a program, powers of two.
        count: number of tiles of so many patches that cover a batch.
        whole: whether all patches of the last tile exist.
    """

    rows: int
    columns: int
    lanes: int
    k: int
    count: int
    whole: bool


def patches_of(b: int, h: int, w: int, channels: int, states: int) -> Patches:
    """Return patches that are as large as those of ``PROGRAMS`` programs can be, of at least four windows."""
    k = block_of(channels)
    lanes = WARPS * 32 // k
    windows = max(4, states * b * h * w * blocks_of(channels) // (PROGRAMS * lanes))
    columns = 2 - w % 2
    fitting = [rows for rows in range(1, MOST_ROWS + 1) if h % rows == 0]
    rows = next((rows for rows in fitting if rows * columns >= windows), fitting[-1])
    patches = b * (h // rows) * (w // columns)
    return Patches(rows, columns, lanes, k, ceil_div(patches, lanes), patches % lanes == 0)


@triton.jit
def nothing():
    """Return an empty tuple, to which parts are added; to a type checker, a literal one would have to stay empty."""
    return ()


@triton.jit
def patches_at(tile, PIXELS, H, W, L: tl.constexpr, R: tl.constexpr, X: tl.constexpr, WHOLE: tl.constexpr):
    """Return image, first row and first column of each lane's patch, and which patches exist, ``(l,)`` each."""
    lane, valid = pixels_of(tile, PIXELS // (R * X), L)
    if WHOLE:
        valid = tl.full((L,), True, tl.int1)
    b, h, w = pixel_of(lane, H // R, W // X)
    return b, h * R, w * X, valid


@triton.jit
def known_channels(block, C: tl.constexpr, K: tl.constexpr):
    """Return the channels of a block, ``(k,)``, and which of them exist."""
    k, inside_k = channels_of(block, C, K)
    if C % K == 0:
        inside_k = tl.full((K,), True, tl.int1)
    return k, inside_k


@triton.jit
def share_of(before, after, SUM: tl.constexpr):
    """Return 1 / the number of a window's rows, or columns, by whether those around the middle one exist."""
    third, half = tl.full(before.shape, 1 / 3, SUM), tl.full(before.shape, 1 / 2, SUM)
    return tl.where(before & after, third, tl.where(before | after, half, tl.full(before.shape, 1, SUM)))


@triton.jit
def _with_earlier(window, more, exists):
    """Return sum, maximum and its place of the rest of a window and of one part more, which comes before the rest."""
    total, largest, place = window
    taken = exists & ~(more[1] < largest) & (largest == largest)
    return more[0] + total, tl.where(taken, more[1], largest), tl.where(taken, more[2], place)


@triton.jit
def _with_later(window, more, exists):
    """Return sum, maximum and its place of the rest of a window and of one part more, which comes after the rest."""
    total, largest, place = window
    taken = (exists & (more[1] > largest)) | (more[1] != more[1])
    return total + more[0], tl.where(taken, more[1], largest), tl.where(taken, more[2], place)


@triton.jit
def joined_windows(parts, first, last, yes, STRIDE: tl.constexpr, N: tl.constexpr):
    """Return sum, maximum and its place of ``N`` windows, each of three parts in a row, which begin ``STRIDE`` apart.

    Args:
        parts: the same of each part; sums of what does not exist are 0.
        first, last: whether the first and the last part exist, ``(l, 1)``; ``yes`` is true for all lanes.
    """
    found = nothing()
    for n in tl.static_range(N):
        end = last if n == N - 1 else yes
        if STRIDE == 2 or n % 2 == 0:
            pair = _with_later(parts[STRIDE * n + 1], parts[STRIDE * n + 2], end)
            found += (_with_earlier(pair, parts[STRIDE * n], first if n == 0 else yes),)
        else:
            found += (_with_later(pair, parts[n + 2], end),)
    return found


@triton.jit
def sums_of_windows(parts, STRIDE: tl.constexpr, N: tl.constexpr):
    """Return for each of ``STRIDE * N`` pixels in a row the sum over the windows that contain it."""
    found = nothing()
    for n in tl.static_range(STRIDE * N):
        if STRIDE == 1 and n % 2 == 0:
            pair = parts[n + 1] + parts[n + 2]
            found += (parts[n] + pair,)
        elif STRIDE == 1:
            found += (pair + parts[n + 2],)
        elif n % 2 == 0:
            found += (parts[n // 2],)
        else:
            found += (parts[n // 2] + parts[n // 2 + 1],)
    return found


@triton.jit
def pixel_gradient(places, maxima, averages, p: tl.constexpr, q: tl.constexpr, STRIDE: tl.constexpr):
    """Return the gradient of a patch's pixel in row ``p`` and column ``q`` from the windows that contain it.

    Args:
        places, maxima: of the windows around, by row and column.
        averages: of the windows around, by row, and already summed for each column of pixels.
    """
    BEFORE: tl.constexpr = 2 - STRIDE
    total = averages[p // STRIDE][q]
    for t in tl.static_range(p // STRIDE + 1, (p + 1) // STRIDE + BEFORE + 1):
        total += averages[t][q]
    for t in tl.static_range(p // STRIDE, (p + 1) // STRIDE + BEFORE + 1):
        for u in tl.static_range(q // STRIDE, (q + 1) // STRIDE + BEFORE + 1):
            own = (p + 1 + BEFORE - t * STRIDE) * 3 + q + 1 + BEFORE - u * STRIDE
            total = tl.where(places[t][u] == own, total + maxima[t][u], total)
    return total
