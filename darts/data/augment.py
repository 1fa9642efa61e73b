"""Augmentation of whole batches on the device that holds the data set.

DARTS trains with zero-padded random crops and horizontal flips, then normalization, then Cutout (Liu et al. 2019,
appendix A; DeVries and Taylor 2017). The random numbers of a whole batch are drawn at once, a few for each image; then
the raw pixels of all its images are read from the data set, cropped and mirrored, in one gather.

Axes: ``n`` image of the data set, ``b`` image of the batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """The augmentation policy of training images.

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
    """The random numbers drawn for a batch, one for each image, ``(b,)``; ``None`` where images are not changed.

    Attributes:
        top, left: where the crop begins, int64; outside the image lies the padding.
        mirrored: whether the crop is mirrored, bool.
        row, column: the centre of Cutout's square, int64; far outside where the image is not cut.
        side: of that square, in pixels.
    """

    top: Tensor | None = None
    left: Tensor | None = None
    mirrored: Tensor | None = None
    row: Tensor | None = None
    column: Tensor | None = None
    side: int = 0

    def of(self, positions: Tensor | slice) -> Draws:
        """Return the draws of the images at these positions of the batch."""

        def some(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[positions]

        return Draws(
            top=some(self.top),
            left=some(self.left),
            mirrored=some(self.mirrored),
            row=some(self.row),
            column=some(self.column),
            side=self.side,
        )


def draw(
    policy: Augmentation,
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator,
    progress: Tensor | float = 0.0,
) -> Draws:
    """Draw the augmentation of a batch on the generator's device; ``progress`` is the share of training done."""

    def integers(low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(low, high, shape, generator=generator, device=generator.device)

    def uniform() -> Tensor:
        return torch.rand(batch, generator=generator, device=generator.device)

    top = left = mirrored = row = column = None
    if policy.crop_padding or policy.flip:
        padding = policy.crop_padding
        top, left = integers(-padding, padding + 1, (2, batch)).unbind(0)
        if policy.flip:
            mirrored = uniform() < 0.5
    if policy.cutout:
        row, column = (integers(0, length, (batch,)) for length in (height, width))
        if policy.rising:
            row = row.where(uniform() < progress, -policy.cutout)
    return Draws(top, left, mirrored, row, column, policy.cutout)


def cropped(images: Tensor, indices: Tensor, draws: Draws, fill: int = 0) -> Tensor:
    """Return raw images, cropped and mirrored, ``(b, c, h, w)`` of the images' type; channels-last where cropped.

    Args:
        images: the data set, ``(n, c, h, w)``.
        indices: of the batch, ``(b,)``.
        draws: of the batch.
        fill: the value of the padding.
    """
    if draws.top is None or draws.left is None:
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
    return rearrange(pixels.masked_fill_(padding[..., None], fill), "b h w c -> b c h w")


def normalized(images: Tensor, draws: Draws, mean: Tensor, std: Tensor) -> Tensor:
    """Return raw images as a network reads them, of ``mean``'s type; Cutout's square is set to 0, the mean.

    Args:
        images: ``(b, c, h, w)``.
        mean, std: of each channel, in the raw images' unit, ``(c,)``.
    """
    images = (images.to(mean.dtype) - mean[:, None, None]) / std[:, None, None]
    if draws.row is not None and draws.column is not None:
        h, w = images.shape[2:]
        rows, columns = _square(draws.row, h, draws.side), _square(draws.column, w, draws.side)
        images = images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0)
    return images


def _square(centre: Tensor, length: int, side: int) -> Tensor:
    """Return the mask of one dimension of squares around these pixels, ``(b, length)``, clipped at the border."""
    pixel = torch.arange(length, device=centre.device)
    return (pixel >= centre[:, None] - side // 2) & (pixel < centre[:, None] + side // 2)
