"""Augmentation of whole batches on the device that holds the data set.

DARTS trains with zero-padded random crops and horizontal flips, then normalization, then Cutout (Liu et al. 2019,
appendix A; DeVries and Taylor 2017). What is random is drawn for a whole batch at once, a few numbers for each image;
then the raw pixels of all its images are read, cropped and mirrored, straight from the data set.

Axes: ``n`` image of the data set, ``b`` image of the batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        rising: whether Cutout's probability rises with the epochs, from 0 on, as in R-DARTS(DP) (Zela et al. 2020).
    """

    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0
    rising: bool = False


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch, numbers for each image, ``(b,)``; ``None`` where images stay as they are.

    Attributes:
        top, left: where the crop begins, int64; outside the image lies the padding.
        mirrored: whether the crop is mirrored, bool.
        row, column: the middle of Cutout's square, int64; far outside where the image stays whole.
        side: of that square, in pixels.
    """

    top: Tensor | None = None
    left: Tensor | None = None
    mirrored: Tensor | None = None
    row: Tensor | None = None
    column: Tensor | None = None
    side: int = 0

    def of(self, share: Tensor | slice) -> Draws:
        """Those of some images of the batch."""
        drawn = {name: value[share] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **drawn)


def draw(
    policy: Augmentation,
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator,
    progress: Tensor | float = 0.0,
) -> Draws:
    """Draw the augmentation of a batch, on the generator's device, when this share of the training is over."""
    source = dict(generator=generator, device=generator.device)
    top = left = mirrored = row = column = None
    if policy.crop_padding or policy.flip:
        padding = policy.crop_padding
        top, left = torch.randint(-padding, padding + 1, (2, batch), **source).unbind(0)
        if policy.flip:
            mirrored = torch.rand(batch, **source) < 0.5
    if policy.cutout:
        row, column = (torch.randint(0, length, (batch,), **source) for length in (height, width))
        if policy.rising:
            row = row.where(torch.rand(batch, **source) < progress, -policy.cutout)
    return Draws(top, left, mirrored, row, column, policy.cutout)


def moved(images: Tensor, indices: Tensor, draws: Draws) -> Tensor:
    """Raw images, cropped and mirrored, ``(b, c, h, w)`` of the images' type, channels-last where they are moved.

    Args:
        images: the data set, ``(n, c, h, w)``.
        indices: of the batch, ``(b,)``.
    """
    if draws.top is None:
        return images[indices]
    h, w = images.shape[2:]
    rows = draws.top[:, None] + torch.arange(h, device=images.device)
    columns = draws.left[:, None] + torch.arange(w, device=images.device)
    if draws.mirrored is not None:
        columns = torch.where(draws.mirrored[:, None], columns.flip(1), columns)
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
    if draws.row is not None:
        h, w = images.shape[2:]
        rows, columns = _square(draws.row, h, draws.side), _square(draws.column, w, draws.side)
        images = images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0)
    return images


def _square(centre: Tensor, length: int, side: int) -> Tensor:
    """One dimension of squares around pixels, ``(b, length)``; what sticks out is cut off."""
    pixel = torch.arange(length, device=centre.device)
    return (pixel >= centre[:, None] - side // 2) & (pixel < centre[:, None] + side // 2)
