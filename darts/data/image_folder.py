"""Folders of images: the size and the channels that they are brought to, decoding, and reading a whole folder.

Small folders are read into memory here; large ones stay on disk (``darts.data.streamed_images``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from torchvision.transforms import v2

from darts.data.dataset import Arrays
from darts.data.folder_layout import Listing, list_folder
from darts.errors import UserError

RESIDENT_BYTES = 2 * 2**30
"""Decoded data sets up to this size are kept in memory."""

GREY = {"1", "L", "I", "I;16", "I;16B", "I;16L"}
"""Pillow's modes of images that have one channel of whole numbers, of up to 16 bits."""


def sizes_and_channels(listing: Listing, size: int | None) -> tuple[int, int]:
    """Return the side to resize images to, and the channels, 1 of grey images and 3 of coloured ones.

    Both are inferred from a sample of files. The side is ``size`` where given; else the median of their shorter sides,
    which is the images' own where all are squares of one size.
    """
    sample = listing.train[:500]
    modes, shapes = set(), set()
    for path, _ in sample:
        with open_image(path) as image:
            modes.add(image.mode)
            shapes.add(image.size)
    channels = 1 if modes <= GREY else 3
    if size is None:
        shorter = sorted(min(shape) for shape in shapes)
        size = shorter[len(shorter) // 2]
    return size, channels


def fits_memory(root: Path, size: int | None) -> bool:
    """Return whether the folder's decoded images are at most ``RESIDENT_BYTES``."""
    listing = list_folder(root)
    side, channels = sizes_and_channels(listing, size)
    return (len(listing.train) + len(listing.test)) * channels * side * side <= RESIDENT_BYTES


def read_folder(root: Path, size: int | None) -> Arrays:
    """Decode a whole folder. Images of other shapes than the square of this size are resized and centre-cropped."""
    listing = list_folder(root)
    side, channels = sizes_and_channels(listing, size)
    resize = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])

    def split(samples: list[tuple[str, int]]) -> tuple[np.ndarray, np.ndarray]:
        images = np.empty((len(samples), channels, side, side), np.uint8)
        for index, (path, _) in enumerate(samples):
            with open_image(path) as image:
                images[index] = _values(resize(decoded(image, path, channels)), channels)
        return images, np.array([label for _, label in samples])

    return Arrays(*split(listing.train), *split(listing.test))


def open_image(path: str) -> Image.Image:
    """Open an image file; its pixels are not decoded yet.

    Raises:
        UserError: naming the file, where it is no image or too large.
    """
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({str(error)[:80]}); replace it or take it away") from None


def decoded(image: Image.Image, path: str, channels: int) -> Image.Image:
    """Decode an image to 8 bits a channel; of 16 bits, the upper 8.

    Raises:
        UserError: naming the file, where it is damaged or holds floating-point values.
    """
    if image.mode == "F":
        raise UserError(f"{path}: an image of fractions; write the images as arrays and take darts_npz")
    try:
        if image.mode in GREY - {"1", "L"}:
            image = Image.fromarray((np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8))
        return image.convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: a damaged image ({str(error)[:80]}); replace it or take it away") from None


def _values(image: Image.Image, channels: int) -> np.ndarray:
    return np.asarray(image).reshape(image.height, image.width, channels).transpose(2, 0, 1)
