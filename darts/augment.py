"""Augmentation of whole batches on the device that holds the data set.

DARTS trains with zero-padded random crops and horizontal flips, then normalization, then Cutout (Liu et al. 2019,
appendix A; DeVries and Taylor 2017). What is random is drawn for a whole batch at once, as a few small tensors; then
one gather reads the raw pixels of all its images, cropped and mirrored, straight from the data set.

Axes: ``n`` image of the data set, ``b`` image of the batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image.

    Attributes:
        crop_padding: zeros put around the image before a random crop of its size, in pixels; 0 for no crop.
        flip: whether half of the images are mirrored.
        cutout: side of the square that is set to the mean, in pixels; 0 for none.
    """

    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch.

    Attributes:
        rows, columns: where each row and column of pixels comes from, ``(b, h)`` and ``(b, w)``; outside the image
            lies the padding. ``None`` where images stay as they are.
        hidden_rows, hidden_columns: whether Cutout's square extends over it, ``(b, h)`` and ``(b, w)``, or ``None``.
    """

    rows: Tensor | None = None
    columns: Tensor | None = None
    hidden_rows: Tensor | None = None
    hidden_columns: Tensor | None = None

    def of(self, share: Tensor | slice) -> Draws:
        """Those of some images of the batch."""
        return Draws(*(None if drawn is None else drawn[share] for drawn in vars(self).values()))


def draw(policy: Augmentation, batch: int, height: int, width: int, generator: torch.Generator) -> Draws:
    """Draw the augmentation of a batch, on the generator's device."""
    device = generator.device
    rows = columns = hidden_rows = hidden_columns = None
    if policy.crop_padding or policy.flip:
        padding = policy.crop_padding
        top, left = torch.randint(-padding, padding + 1, (2, batch, 1), generator=generator, device=device)
        rows = top + torch.arange(height, device=device)
        columns = left + torch.arange(width, device=device)
        if policy.flip:
            mirrored = torch.rand(batch, 1, generator=generator, device=device) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
    if policy.cutout:
        hidden_rows = _square(policy.cutout, batch, height, generator)
        hidden_columns = _square(policy.cutout, batch, width, generator)
    return Draws(rows, columns, hidden_rows, hidden_columns)


def _square(side: int, batch: int, length: int, generator: torch.Generator) -> Tensor:
    """One dimension of a square around a uniformly drawn pixel, ``(b, length)``; what sticks out is cut off."""
    centre = torch.randint(0, length, (batch, 1), generator=generator, device=generator.device)
    pixel = torch.arange(length, device=generator.device)
    return (pixel >= centre - side // 2) & (pixel < centre + side // 2)


def moved(images: Tensor, indices: Tensor, draws: Draws) -> Tensor:
    """Raw images, cropped and mirrored, ``(b, c, h, w)`` of the images' type, channels-last where they are moved.

    Args:
        images: the data set, ``(n, c, h, w)``.
        indices: of the batch, ``(b,)``.
    """
    rows, columns = draws.rows, draws.columns
    if rows is None:
        return images[indices]
    h, w = images.shape[2:]
    pixels = images.permute(0, 2, 3, 1)[
        indices[:, None, None], rows.clamp(0, h - 1)[:, :, None], columns.clamp(0, w - 1)[:, None, :]
    ]
    padding = ((rows < 0) | (rows >= h))[:, :, None] | ((columns < 0) | (columns >= w))[:, None, :]
    return rearrange(pixels.masked_fill_(padding[..., None], 0), "b h w c -> b c h w")


def normalized(images: Tensor, draws: Draws, mean: Tensor, std: Tensor) -> Tensor:
    """Raw images as a network reads them, of ``mean``'s type; Cutout's square is 0, the mean.

    Args:
        images: ``(b, c, h, w)``.
        mean, std: of each channel, in the raw images' unit, ``(c,)``.
    """
    images = (images.to(mean.dtype) - mean[:, None, None]) / std[:, None, None]
    if draws.hidden_rows is not None:
        hidden = draws.hidden_rows[:, :, None] & draws.hidden_columns[:, None, :]
        images = images.masked_fill_(hidden[:, None], 0)
    return images
