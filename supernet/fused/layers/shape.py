"""Sizes of a 1x1 convolution, and of the blocks and programs of its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from supernet.fused.launch import WARPS, aligned, ceil_div

TILES = 512
"""Tiles that the last program of a block of channels adds up, unless they would have more than 128 pixels (64 of
float32)."""

PROGRAMS = 256
"""Two programs for each multiprocessor of a large GPU."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a convolution.

    Attributes:
        batch, height, width: of the images read.
        inputs, channels: input and output channels; ``split`` of the latter belong to the first part.
        stride: 1 for one part, 2 for two; so it is also the number of parts.
    """

    batch: int
    height: int
    width: int
    inputs: int
    channels: int
    split: int
    stride: int

    @classmethod
    def of(cls, x: Tensor, weights: Sequence[Tensor]) -> Shape:
        """Return the sizes for images ``(b, h, w, k)`` and each part's weights, ``(n, k, 1, 1)``."""
        outputs = [len(weight) for weight in weights]
        b, h, w, inputs = x.shape
        return cls(b, h, w, inputs, sum(outputs), outputs[0], len(outputs))

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Height and width of the images read, and of the output."""
        return self.height, self.width, ceil_div(self.height, self.stride), ceil_div(self.width, self.stride)

    @property
    def pixels(self) -> int:
        """Pixels of the output, of the whole batch."""
        return self.batch * self.sizes[2] * self.sizes[3]

    @property
    def widest(self) -> int:
        """Channels of the widest part."""
        return max(self.split, self.channels - self.split)

    def blocks(self, storage: torch.dtype) -> tuple[int, int]:
        """Return the numbers of output and input channels of a block of products: up to 128 bytes of a pixel."""
        most = 128 // storage.itemsize
        return min(most, aligned(self.widest)), min(most, aligned(self.inputs))

    def columns(self, n: int) -> int:
        """Return the number of blocks of ``n`` output channels of all parts."""
        return self.stride * ceil_div(self.widest, n)


def tile_of(pixels: int, storage: torch.dtype) -> int:
    """Return the pixels of a tile."""
    return min(256 // storage.itemsize, max(32, triton.next_power_of_2(ceil_div(pixels, TILES))))


def warps_of(programs: int, storage: torch.dtype) -> int:
    """Return the warps of each program of a launch: more where there are few programs, unless they multiply float32,
    each of whose factors every warp that reads it takes apart."""
    return 2 * WARPS if programs <= PROGRAMS and storage.itemsize == 2 else WARPS
