"""Images for ``darts.fit``: arrays of any layout and size, folders with one sub-folder a class, and single files.

Axes: ``n`` image, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from darts.artifacts.plain_values import record_from
from darts.data.folder_layout import EXTENSIONS, Samples
from darts.data.image_folder import ImageForm, are_of_files, read_files
from darts.errors import UserError

LARGEST = 64
"""Larger images are reduced, their shorter side to this, so that many networks can be trained."""

CHANNELS = (1, 3, 4)
"""Number of channels by which the layout of an array is recognized."""


@dataclass(frozen=True)
class ImageEncoder:
    """Encodes images as an array ``(n, c, h, w)`` of one size.

    Attributes:
        channels, height, width: of the result.
        bits: used bits of image files of more than 8 bits a channel.
        mean, std: of each channel.
    """

    channels: int
    height: int
    width: int
    bits: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    kind = "image"

    def __call__(self, images: Tensor | Sequence[Path]) -> Tensor:
        """Encode an array ``(n, c, h, w)``, or image files.

        Raises:
            UserError: where they have another number of channels; naming the file that is no image.
        """
        if not isinstance(images, Tensor):
            if not are_of_files(self.mean, self.std):
                raise UserError(
                    "`x` is image files; the model was trained on arrays of another scale: give such arrays"
                )
            return torch.from_numpy(read_files(images, self.form))
        if images.shape[1] != self.channels:
            raise UserError(f"`x` has images of {images.shape[1]} channels; the model was trained on {self.channels}")
        return resized(images, self.height, self.width)

    @property
    def form(self) -> ImageForm:
        """The form to which image files are brought."""
        return ImageForm(self.height, self.channels, self.bits)

    def state(self) -> dict[str, Any]:
        """Return plain values that ``from_state`` reads."""
        return asdict(self)

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> ImageEncoder:
        """Return the encoder of what ``state`` returned; a ``ValueError`` names what cannot be."""
        read = record_from(ImageEncoder, state, "encoder")
        sizes = 1 <= min(read.height, read.width) <= LARGEST and max(read.height, read.width) < 2**20
        deviations = all(std > 0 and math.isfinite(std) for std in read.std)
        if not (sizes and read.channels in CHANNELS and 1 <= read.bits <= 16 and deviations):
            raise ValueError(f"encoder is {read}")
        if not len(read.mean) == len(read.std) == read.channels or not all(map(math.isfinite, read.mean)):
            raise ValueError(f"encoder.mean is {read.mean}")
        return read

    def describe(self) -> str:
        """Return what the images are, for people."""
        return f"images of {self.channels} x {self.height} x {self.width}"


def fit_images(images: Tensor, bits: int = 8) -> ImageEncoder:
    """Return the encoder of images ``(n, c, h, w)``, of whose channels it takes mean and deviation."""
    height, width = images.shape[2:]
    shorter = min(height, width)
    if shorter > LARGEST:
        height, width = (max(1, round(side * LARGEST / shorter)) for side in (height, width))
    sample = images[:: max(1, len(images) // 10_000)].double()
    mean, std = sample.mean((0, 2, 3)), sample.std((0, 2, 3), correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))
    return ImageEncoder(images.shape[1], height, width, bits, tuple(mean.tolist()), tuple(std.tolist()))


def images_of_array(values: np.ndarray) -> Tensor:
    """Return an array of images ``(n, h, w)``, ``(n, c, h, w)`` or ``(n, h, w, c)`` as ``(n, c, h, w)``.

    Raises:
        UserError: where it is of another form, or holds non-finite values.
    """
    if values.dtype.kind not in "biuf":
        raise UserError(f"`x` is an array of {values.dtype}; images must be numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise UserError(f"`x` has a non-finite value in image {row}; replace it or leave the image out")
    if values.ndim == 3:
        values = values[:, None]
    elif values.shape[1] not in CHANNELS and values.shape[3] in CHANNELS:
        values = values.transpose(0, 3, 1, 2)
    if 0 in values.shape:
        raise UserError(f"`x` has images of shape {tuple(values.shape[1:])}; they must not be empty")
    kept = values if values.dtype == np.uint8 else values.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(kept))


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Return images of another size, with antialiasing; as they are where they have that size."""
    if tuple(images.shape[2:]) == (height, width):
        return images
    parts = [
        F.interpolate(part.float(), (height, width), mode="bilinear", antialias=True) for part in images.split(1000)
    ]
    found = torch.cat(parts)
    return found.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else found


def paths_of(samples: Samples) -> list[Path]:
    """Return the files of a listing."""
    return [Path(path) for path, _ in samples]


def is_image(path: Path) -> bool:
    """Return whether a name ends as that of an image file."""
    return path.name.lower().endswith(EXTENSIONS)
