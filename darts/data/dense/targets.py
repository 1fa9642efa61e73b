"""What the labels of images are: classes, masks or boxes; and how they follow the augmentation of their images.

A mask has the class of each pixel; ``IGNORED`` is none, neither trained on nor counted. Boxes are rows of left, top,
right, bottom in pixels and the class; an image with fewer than others is filled up with rows of class ``NO_BOX``.

Axes: ``b`` image of the batch, ``h w`` space, ``m`` box of an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from darts.data.augment import Draws, cropped
from darts.data.dense.detection import Detection
from darts.data.dense.labels import IGNORED, NO_BOX
from darts.data.dense.segmentation import Segmentation
from darts.data.objective import Objective


@dataclass(frozen=True)
class Target:
    """A kind of labels.

    Attributes:
        dtype: of the labels, as they are kept.
        moved: (labels of a batch, its augmentation, side of the images) -> the labels of the augmented images.
        objective: number of classes -> what is minimized; None for classification.
    """

    dtype: Any
    moved: Callable[[Tensor, Draws, int], Tensor]
    objective: Callable[[int], Objective | None]


def classes_stay(labels: Tensor, draws: Draws, side: int) -> Tensor:
    """Return the classes ``(b,)`` as they are."""
    return labels


def move_masks(masks: Tensor, draws: Draws, side: int) -> Tensor:
    """Return masks ``(b, h, w)``, cropped and mirrored as their images, int64; padding is ``IGNORED``."""
    moved = cropped(masks[:, None], torch.arange(len(masks), device=masks.device), draws, IGNORED)
    return moved[:, 0].long()


def move_boxes(boxes: Tensor, draws: Draws, side: int) -> Tensor:
    """Return boxes ``(b, m, 5)``, moved and mirrored as their images, and clipped to these.

    A box whose centre is cropped off is left out (Liu et al. 2016, SSD, section 2.2).
    """
    if draws.top is None or draws.left is None:
        return boxes
    x, y = boxes[..., 0:3:2] - draws.left[:, None, None], boxes[..., 1:4:2] - draws.top[:, None, None]
    if draws.mirrored is not None:
        x = torch.where(draws.mirrored[:, None, None], side - x.flip(2), x)
    centre = torch.stack([x.mean(2), y.mean(2)], dim=2)
    inside = ((centre >= 0) & (centre < side)).all(2)
    x, y = x.clamp(0, side), y.clamp(0, side)
    classes = boxes[..., 4].where(inside, NO_BOX)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1], classes], dim=2)


def _classification(classes: int) -> None:
    return None


TARGETS: dict[str, Target] = {
    "class": Target(np.int64, classes_stay, _classification),
    "mask": Target(np.uint8, move_masks, Segmentation),
    "boxes": Target(np.float32, move_boxes, Detection),
}
"""What is predicted of an image (``ImageShape.target``) -> its labels; the rows of ``supernet.heads.HEADS``."""
