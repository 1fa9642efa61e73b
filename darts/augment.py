"""Augmentation of whole batches on the device that holds them.

DARTS trains with zero-padded random crops and horizontal flips, then normalization, then Cutout (Liu et al. 2019,
appendix A; DeVries and Taylor 2017). One draw for each image of the batch; all images are moved by one gather.

Axes: ``b`` image, ``c`` channel, ``h w`` space.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
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


def random_crop_flip(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """A random crop of the images' own size from the zero-padded images, half of them mirrored if ``flip``.

    Args:
        images: ``(b, c, h, w)``, any type.

    Returns:
        ``(b, c, h, w)``, channels-last in memory.
    """
    b, _, h, w = images.shape
    device = images.device
    top, left = torch.randint(0, 2 * padding + 1, (2, b, 1), generator=generator, device=device)
    rows = top + torch.arange(h, device=device)
    columns = left + torch.arange(w, device=device)
    if flip:
        mirrored = torch.rand(b, 1, generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = rearrange(F.pad(images, (padding,) * 4), "b c h w -> b h w c")
    batch = torch.arange(b, device=device)
    moved = padded[batch[:, None, None], rows[:, :, None], columns[:, None, :]]
    return rearrange(moved, "b h w c -> b c h w")


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set a square to 0 in each image; its centre is a uniformly drawn pixel, what sticks out is cut off."""
    b, _, h, w = images.shape
    masks = []
    for length in (h, w):
        centre = torch.randint(0, length, (b, 1), generator=generator, device=images.device)
        pixel = torch.arange(length, device=images.device)
        masks.append((pixel >= centre - side // 2) & (pixel < centre + side // 2))
    rows, columns = masks
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def augment(
    images: Tensor, policy: Augmentation | None, mean: Tensor, std: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Raw images as a network reads them, ``(b, c, h, w)`` of ``mean``'s type.

    Args:
        images: raw, ``(b, c, h, w)``.
        policy: ``None`` to normalize only, as for evaluation.
        mean, std: of each channel, in the raw images' unit, ``(c,)``.
        generator: on the images' device.
    """
    if policy is not None and (policy.crop_padding or policy.flip):
        images = random_crop_flip(images, policy.crop_padding, policy.flip, generator)
    images = (images.to(mean.dtype) - mean[:, None, None]) / std[:, None, None]
    if policy is not None and policy.cutout:
        images = cutout(images, policy.cutout, generator)
    return images
