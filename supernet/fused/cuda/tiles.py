"""The tiles of images that a block of the CUDA kernels keeps in shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from supernet.fused.launch import ceil_div

PITCH = 48
"""Bytes from one pixel to the next in shared memory, of 16 channels."""

PIXELS = 256
"""Pixels of a tile; of twice as many where a program has few columns."""

PIECES = 8
"""Pieces of a tile that a thread keeps track of at a time."""

THREADS = 256
"""Threads of a block."""

BLOCKS = 384
"""Blocks that fill a large GPU: three for each of its multiprocessors, which is what fits of most launches."""

MULTIPROCESSORS = 132
"""Multiprocessors of a large GPU."""

SHARED, SHARED_BY_THREE = 96 * 1024, 74 * 1024
"""Bytes of shared memory that a block should need at most, where two or three fit on a multiprocessor: fewer channels
are kept at a time instead."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a launch, as ``shape.cuh`` explains them."""

    batch: int
    h: int
    w: int
    ho: int
    wo: int
    rows: int
    images: int
    stored: int
    columns: int
    reach: int

    @property
    def constants(self) -> dict[str, int]:
        """The macros that kernels are compiled with: all sizes but the batch's."""
        return {f"SIZE_{name.upper()}": size for name, size in asdict(self).items() if name != "batch"}


def shape_of(size: Sequence[int], stride: int, reach: int, pixels: int = PIXELS) -> Shape:
    """Return the sizes of a launch.

    Args:
        size: batch, rows and columns of the input.
        reach: how many pixels of the input beside its own an output reads at most.
        pixels: of a tile.
    """
    b, h, w = size
    ho, wo = h // stride, w // stride
    images, rows = max(1, pixels // (ho * wo)), min(ho, pixels // wo)
    return Shape(b, h, w, ho, wo, rows, images, rows * stride + 2 * reach, w + 2 * reach, reach)


def tiling_of(
    size: Sequence[int],
    stride: int,
    reach: int,
    columns: int,
    channels: int,
    groups: int = BLOCKS,
    shared: int = SHARED_BY_THREE,
) -> tuple[Shape, int, int, int]:
    """Return the sizes of a launch, the halves of a warp's pixels, how many channels are kept at a time, and how many
    blocks share the output channels.

    Args:
        columns: output channels of all blocks that share them.
        channels: of the input.
        groups: how many groups of columns are computed of a tile. Where that leaves multiprocessors idle, tiles are
            smaller, or blocks share the channels.
        shared: bytes of shared memory that a tile should need at most.
    """
    halves = min(4, max(1, 64 // columns))
    shape = shape_of(size, stride, reach, 128 * halves)
    while halves > 1 and shape.wo <= 64 * halves:
        if groups * tiles_of(shape) >= BLOCKS and bytes_of(shape, 16) <= shared:
            break
        halves //= 2
        shape = shape_of(size, stride, reach, 128 * halves)
    keep = channels
    while keep > 16 and (bytes_of(shape, keep) > shared or pieces_of(shape, keep) > PIECES):
        keep //= 2
    split = channels // 32 if columns == channels > 32 and groups * tiles_of(shape) < BLOCKS else 1
    return shape, halves, keep, split


def state_tiling_of(size: Sequence[int], stride: int, reach: int, channels: int) -> tuple[Shape, int, int]:
    """Return the same for the gradient of a state, of whose channels a block computes 32 at most.

    Args:
        size: of the gradients that it comes from.
        stride: with 2, a warp computes four times as many pixels, and two blocks fit on a multiprocessor.
    """
    shared = SHARED_BY_THREE if stride == 1 else SHARED
    return tiling_of(size, 1, reach, min(64, channels * stride), channels, shared=shared)[:3]


def pieces_of(shape: Shape, channels: int, threads: int = THREADS) -> int:
    """Return how many pieces of 8 channels each thread of a block keeps of a tile."""
    columns = shape.columns - 2 * shape.reach
    lines = shape.stored - (2 * shape.reach if shape.rows == shape.ho else 0)
    return ceil_div(shape.images * lines * columns * channels // 8, threads)


def rounds_of(pieces: int) -> dict[str, int]:
    """Return the constants of a kernel by which a thread keeps so many pieces: ``PIECES`` at a time at most."""
    rounds = ceil_div(pieces, PIECES)
    return {"SLOTS": ceil_div(pieces, rounds), "ROUNDS": rounds}


def tiles_of(shape: Shape) -> int:
    """Return the number of tiles that cover a batch."""
    return ceil_div(shape.batch * shape.ho * shape.wo, shape.images * shape.rows * shape.wo)


def bytes_of(shape: Shape, channels: int) -> int:
    """Return the bytes of shared memory that a tile needs, of so many channels at a time."""
    return shape.images * shape.stored * shape.columns * (channels * 2 + 16)


@lru_cache(maxsize=1024)
def shares_of(tiles: int, groups: int, resident: int) -> int:
    """Return how many blocks share the tiles of each group so that a large GPU is done first.

    Its multiprocessors work on as many blocks as they have, up to ``resident``, at about the same speed each; a block
    begins and ends in about the time of two tiles.
    """

    def time(shares: int) -> float:
        blocks = ceil_div(groups * shares, MULTIPROCESSORS)
        return blocks * (ceil_div(tiles, shares) + 2) / min(blocks, resident)

    return min(range(1, tiles + 1), key=time)
