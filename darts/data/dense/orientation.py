"""Which picture the masks and boxes of a photograph with an EXIF orientation refer to: the stored or the upright one.

Programs differ: what draws labels in a browser, or reads images by OpenCV, turns them upright first; what reads them by
Pillow, as torchvision's and most converters of COCO's form do, does not. The size that a JSON file states, or that a
mask has, tells for most photographs. Those that it does not tell for, squares and pictures upside down or mirrored,
are taken like the others of their data set; where none tells, as stored.

Axes: ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from darts.data.image_decoder import UPRIGHT, Header

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

MIRRORED = {2, 3, 6, 7}
"""EXIF orientations that mirror left and right, after the sides are exchanged for those above 4."""

FLIPPED = {3, 4, 7, 8}
"""The same of top and bottom."""


def told_by_size(header: Header, size: tuple[int, int] | None) -> bool | None:
    """Return whether labels are of an image's stored pixels; None where the size does not tell.

    Args:
        header: of the image.
        size: width and height of the picture that the labels refer to, where known.
    """
    if header.size == header.stored_size or size not in (header.size, header.stored_size):
        return None
    return size == header.stored_size


def labels_as_stored(
    headers: Sequence[Header], told: Sequence[bool | None], what: str
) -> tuple[list[bool], tuple[str, ...]]:
    """Return whether the labels of each image are of stored pixels that have to be turned, and notes for people.

    Args:
        headers: of the images of a data set.
        told: what is known of each.
        what: the labels are, in the plural.
    """
    upright = False in told and True not in told
    turned = [header.orientation != 1 for header in headers]
    stored = [turn and (not upright if each is None else each) for turn, each in zip(turned, told)]
    with_them, already = sum(stored), sum(turned) - sum(stored)
    notes = [f"{with_them} images turned upright (EXIF), {what} with them"] if with_them else []
    notes += [f"{already} images turned upright (EXIF), {what} as they are"] if already else []
    return stored, tuple(notes)


def upright_box(box: Box, header: Header) -> Box:
    """Return a box of an image's stored pixels in those of the upright image."""
    x, y = box[0::2], box[1::2]
    if header.orientation > 4:
        x, y = y, x
    if header.orientation in MIRRORED:
        x = header.width - x[1], header.width - x[0]
    if header.orientation in FLIPPED:
        y = header.height - y[1], header.height - y[0]
    return x[0], y[0], x[1], y[1]


def upright_mask(mask: np.ndarray, header: Header) -> np.ndarray:
    """Return a mask of an image's stored pixels, ``(h, w)`` uint8, as one of the upright image."""
    return np.asarray(Image.fromarray(mask).transpose(UPRIGHT[header.orientation]))
