"""One image file as 8-bit pixels: upright, without transparency, grey or coloured, of any depth.

Axes: ``h w`` space, ``c`` channel.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.Image import Transpose

from darts.errors import UserError

GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
"""Pillow's modes of images that have one channel of whole numbers, with or without transparency."""

DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
"""Pillow's modes of more than 8 bits."""

BACKGROUND = 255
"""The grey value under transparent pixels: white."""

ORIENTATION = 0x0112
"""The EXIF tag of a photograph's orientation."""

UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored image upright."""


@dataclass(frozen=True)
class Header:
    """The facts about an image file that are known before its pixels are decoded.

    Attributes:
        width, height: of the upright image.
        grey: whether it has one channel.
        deep: whether it has more than 8 bits a channel.
        orientation: of EXIF, a key of ``UPRIGHT``; 1 where the stored image is upright.
    """

    width: int
    height: int
    grey: bool
    deep: bool
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        return self.width, self.height

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the image as it is stored."""
        return (self.height, self.width) if self.orientation > 4 else self.size


def read_header(path: str) -> Header:
    """Read the header of an image file.

    Raises:
        UserError: naming the file, where it is no image, too large, or of floating-point values.
    """
    with _named(path, "not a readable image"), Image.open(path) as image:
        _refuse_floats(image, path)
        (width, height), grey, deep = image.size, _is_grey(image), _is_deep(image)
        orientation = _orientation(image) if _may_be_turned(image, path) else 1
        if orientation > 4:
            width, height = height, width
        return Header(width, height, grey, deep, orientation)


def decode(path: str, channels: int, bits: int = 8) -> Image.Image:
    """Decode an image file to 8 bits a channel, grey (``channels`` 1) or coloured (3).

    Args:
        path: the file.
        channels: of the result.
        bits: used bits of images of more than 8 bits: the lower ``bits - 8`` are dropped.

    Raises:
        UserError: naming the file, where it is damaged, or holds colours, depths or values that do not fit.
    """
    with _named(path, "a damaged image"), Image.open(path) as file:
        _refuse_floats(file, path)
        if channels == 1 and not _is_grey(file):
            raise UserError(f"{path}: a coloured image among grey ones; convert it to grey")
        deep = _deep_pixels(file, path) if _is_deep(file) else None
        file.load()
        orientation = _orientation(file)
        image: Image.Image = file
        if deep is not None:
            image = _reduced(deep, path, bits)
        if orientation != 1:
            image = image.transpose(UPRIGHT[orientation])
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (BACKGROUND,) * 3 + (255,))
            image = Image.alpha_composite(white, image).convert("RGB")
        return image.convert("L" if channels == 1 else "RGB")


def largest_value(path: str) -> int:
    """Return the largest value of an image of more than 8 bits a channel.

    Raises:
        UserError: naming the file, where it is damaged or holds negative values.
    """
    with _named(path, "a damaged image"), Image.open(path) as image:
        return int(_deep_pixels(image, path).colours.max(initial=0))


@contextmanager
def _named(path: str, problem: str) -> Iterator[None]:
    """Keep Pillow's warnings from the terminal, and raise whatever a plugin raises as a ``UserError`` of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (UserError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise UserError(f"{path}: {problem} ({reason}); replace it or take it away") from None


def _refuse_floats(image: Image.Image, path: str) -> None:
    if image.mode == "F":
        raise UserError(f"{path}: an image of floating-point values; write the images as arrays and take darts_npz")


def _is_grey(image: Image.Image) -> bool:
    return image.mode in GREY or _raw_mode(image).startswith("LA;16")


def _is_deep(image: Image.Image) -> bool:
    """Whether there are more than 8 bits a channel; of coloured PNG images, Pillow itself drops the lower ones."""
    return image.mode in DEEP or (image.format == "PNG" and _raw_mode(image).endswith(";16B"))


def _raw_mode(image: Image.Image) -> str:
    """The mode of the pixels in the file, where Pillow converts it while decoding; empty where it tells none."""
    tiles = getattr(image, "tile", None)
    return tiles[0][3] if tiles and isinstance(tiles[0][3], str) else ""


def _may_be_turned(image: Image.Image, path: str) -> bool:
    """Whether to look for an orientation, for which Pillow decodes a PNG file whose header has no EXIF data.

    EXIF data may follow the pixels of a PNG file. TIFF images are turned by Pillow itself.
    """
    if image.format != "PNG" or image.info.keys() & {"exif", "Raw profile type exif"}:
        return image.format != "TIFF"
    with open(path, "rb") as file:
        return b"eXIf" in file.read()


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, a key of ``UPRIGHT``; 1, upright, where there is none or it cannot be read."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the image may be sound all the same
        return 1
    return found if isinstance(found, int) and found in UPRIGHT else 1


class _Deep(NamedTuple):
    """Values of more than 8 bits: of the colours, ``(h, w, c)``, and how opaque they are, ``(h, w, 0 or 1)``."""

    colours: np.ndarray
    opacity: np.ndarray


def _deep_pixels(image: Image.Image, path: str) -> _Deep:
    if image.mode in DEEP:
        values = np.asarray(image).astype(np.int64)[..., None]
    else:
        from torchvision.io import ImageReadMode, decode_png

        with open(path, "rb") as file:
            content = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
        values = decode_png(content, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy().astype(np.int64)
    if values.min(initial=0) < 0:
        raise UserError(f"{path}: an image of negative values; write the images as arrays and take darts_npz")
    channels = values.shape[2] - (values.shape[2] % 2 == 0)
    return _Deep(values[..., :channels], values[..., channels:])


def _reduced(deep: _Deep, path: str, bits: int) -> Image.Image:
    """Return an image of 8 bits a channel; opacity is of 16 bits, however many the colours use."""
    if deep.colours.max(initial=0) >> bits:
        raise UserError(f"{path}: an image of more than {bits} bits a channel, unlike others; convert it")
    pixels = np.concatenate([deep.colours >> max(0, bits - 8), deep.opacity >> 8], axis=2).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
