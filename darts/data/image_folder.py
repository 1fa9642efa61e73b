"""Folders of images: the size, the channels and the bits that they are brought to, and reading a whole folder.

Small folders are read into memory here; large ones stay on disk (``darts.data.streamed_images``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.transforms import v2

from darts.data.dataset import Arrays
from darts.data.folder_layout import Listing, Samples
from darts.data.image_decoder import BACKGROUND, decode, largest_value, read_header
from darts.data.reading_progress import with_progress

RESIDENT_BYTES = 2 * 2**30
"""Decoded data sets up to this size are kept in memory."""

SAMPLE = 500
"""Number of training images whose sizes decide the size of all."""


@dataclass(frozen=True)
class ImageForm:
    """The form to which the files of a folder are converted: squares of one size, grey or coloured, of 8 bits.

    Attributes:
        size: side of the square: the shorter side is resized to it, then the centre is cropped.
        channels: 1 of grey images, 3 of coloured ones.
        bits: used bits of images of more than 8 bits a channel.
        resized: whether an image of the sample is no square of the size.
        cut: largest share of an image of the sample that the crop cuts off.
    """

    size: int
    channels: int
    bits: int = 8
    resized: bool = False
    cut: float = 0.0

    def fits_memory(self, images: int, planes: int = 0) -> bool:
        """Return whether this number of decoded images, with ``planes`` more bytes a pixel, takes at most
        ``RESIDENT_BYTES``."""
        return images * (self.channels + planes) * self.size**2 <= RESIDENT_BYTES

    def preprocessing(self) -> dict[str, Any]:
        """Return the rule by which a file becomes an image, for whoever applies a trained network to further files."""
        return {
            "resize_shorter_side": self.size,
            "centre_crop": self.size,
            "channels": self.channels,
            "bits": self.bits,
            "background": BACKGROUND,
            "exif_orientation": "applied",
        }

    def notes(self) -> tuple[str, ...]:
        """Return what is done to the files, for people."""
        if not self.resized:
            return ()
        cut = f", which cuts off up to {100 * self.cut:.0f} % of an image" if self.cut >= 0.005 else ""
        return (f"shorter side resized to {self.size}, then the centre cropped{cut}",)


def form_of(train: Sequence[str], test: Sequence[str], size: int | None) -> ImageForm:
    """Infer what the images of both splits are brought to, of their paths.

    The side is ``size`` where given; else the median of the shorter sides of a sample, which is the images' own where
    all are squares of one size. A coloured image anywhere makes all coloured. Images of more than 8 bits are scaled by
    the largest value in any of them. Of folders that do not fit into memory, depth is that of the sample.

    Raises:
        UserError: naming the file that is no image.
    """
    sample = [read_header(path) for path in train[:SAMPLE]]
    shorter = sorted({min(header.width, header.height) for header in sample})
    side = size or shorter[len(shorter) // 2]
    paths = [*train, *test]
    grey = all(header.grey for header in sample)
    deep = [path for path, header in zip(paths, sample) if header.deep]
    whole = ImageForm(side, 1 if grey else 3).fits_memory(len(paths))
    for path in with_progress(paths[len(sample) :], "looking at images"):
        if not (grey or whole):
            break
        header = read_header(path)
        grey &= header.grey
        deep += [path] if header.deep else []
    bits = max([8, *(largest_value(path).bit_length() for path in deep)])
    cut = max(1 - min(h.width, h.height) / max(h.width, h.height) for h in sample)
    resized = any((header.width, header.height) != (side, side) for header in sample)
    return ImageForm(side, 1 if grey else 3, bits, resized, cut)


def read_listing(listing: Listing, form: ImageForm) -> Arrays:
    """Decode the images of both splits.

    Raises:
        UserError: naming the file that is damaged.
    """
    train, test = (read_files(paths, form) for paths in listing.paths)
    return Arrays(
        train,
        _labels(listing.train),
        test,
        _labels(listing.test),
        classes=listing.classes,
        preprocessing=form.preprocessing(),
        notes=(*listing.notes, *form.notes()),
    )


def read_files(paths: Sequence[str | Path], form: ImageForm, shorter: int | None = None) -> np.ndarray:
    """Decode image files, ``(n, c, size, size)`` uint8: the shorter side resized, then the centre cropped.

    Args:
        paths: of the files.
        form: that they are brought to.
        shorter: what the shorter side is resized to; the size of the form by default.

    Raises:
        UserError: naming the file that is no image.
    """
    resize = v2.Compose([v2.Resize(shorter or form.size), v2.CenterCrop(form.size)])
    images = np.empty((len(paths), form.channels, form.size, form.size), np.uint8)
    for index, path in enumerate(with_progress(paths, "reading images")):
        image = resize(decode(str(path), form.channels, form.bits))
        images[index] = np.asarray(image).reshape(form.size, form.size, form.channels).transpose(2, 0, 1)
    return images


def are_of_files(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Return whether images of these channel statistics can be of files: values from 0 to 255, not shares of 1."""
    return min(mean) >= 0 and max(mean) <= 255 and max(*mean, *std) > 1


def _labels(samples: Samples) -> np.ndarray:
    return np.array([label for _, label in samples])
