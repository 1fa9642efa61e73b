"""Pictures of predictions: images with masks or boxes, the true ones beside the predicted ones, as one PNG file.

Axes: ``b`` image, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, make_grid

from darts.data.dense.labels import IGNORED, Found

SHOWN = 8
"""Images of a picture: columns."""

SIDE = 160
"""Pixels that small images are enlarged to."""

OPACITY = 0.6
"""Of a mask over its image."""

FOUND = 0.3
"""Score from which a detection is shown."""


def masks_png(images: Tensor, masks: Tensor, predicted: Tensor, classes: int) -> bytes:
    """Return a picture of three rows: images, true masks, predicted masks.

    Args:
        images: as a network reads them, ``(b, c, h, w)``.
        masks, predicted: classes, ``(b, h, w)``.
        classes: their number.
    """
    shown = _shown(images)
    tops = [_coloured(shown, each[:SHOWN].cpu(), classes) for each in (masks, predicted)]
    return _png([*shown, *tops[0], *tops[1]], len(shown))


def boxes_png(images: Tensor, truths: Sequence[Tensor], found: Sequence[Found], classes: Sequence[str]) -> bytes:
    """Return a picture of two rows: images with their true boxes, and with the detections.

    Args:
        images: as a network reads them, ``(b, c, h, w)``.
        truths: boxes of each image and their classes, ``(m, 5)``.
        found: detections of each image.
        classes: name of each class.
    """
    rows: list[list[Tensor]] = [[], []]
    for image, truth, detected in zip(_shown(images), truths, found):
        scale = image.shape[1] / images.shape[2]
        sure = detected.scores >= FOUND
        pairs = (truth[:, :4], truth[:, 4]), (detected.boxes[sure], detected.classes[sure])
        for row, (boxes, labels) in zip(rows, pairs):
            row.append(_framed(image, scale * boxes.cpu().float(), labels.long().tolist(), classes))
    return _png(rows[0] + rows[1], len(rows[0]))


def _framed(image: Tensor, boxes: Tensor, labels: Sequence[int], classes: Sequence[str]) -> Tensor:
    side = image.shape[1] - 1
    corners = boxes.clamp(0, side)
    there = (corners[:, 2:] > corners[:, :2]).all(1)
    names = [classes[label] for label, kept in zip(labels, there.tolist()) if kept]
    colours = [_colour(label, len(classes)) for label, kept in zip(labels, there.tolist()) if kept]
    if not names:
        return image
    return draw_bounding_boxes(image, corners[there], labels=names, colors=colours, width=2)


def _coloured(images: Sequence[Tensor], masks: Tensor, classes: int) -> list[Tensor]:
    """Return the images under masks; the background, class 0, and pixels of no class are left as they are."""
    palette = torch.tensor([_colour(label, classes) for label in range(classes)], dtype=torch.float32)
    found = []
    for image, mask in zip(images, masks.long()):
        mask = mask.where(mask != IGNORED, 0).repeat_interleave(image.shape[1] // mask.shape[0], 0)
        mask = mask.repeat_interleave(image.shape[2] // mask.shape[1], 1)
        top = palette[mask].permute(2, 0, 1)
        blend = (image + OPACITY * (top - image)).to(torch.uint8)
        found.append(torch.where(mask > 0, blend, image))
    return found


def _colour(label: int, count: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(label / max(1, count), 0.9, 1.0))
    return red, green, blue


def _shown(images: Tensor) -> list[Tensor]:
    """Return the first images as RGB, each from its least to its largest value, enlarged by a whole factor."""
    images = images[:SHOWN].detach().cpu().float()
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    images = (255 * (images - low) / (high - low).clamp_min(1e-12)).to(torch.uint8)
    factor = max(1, SIDE // images.shape[2])
    images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return list(images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1))


def _png(images: Sequence[Tensor], columns: int) -> bytes:
    grid = make_grid(list(images), nrow=columns, padding=4, pad_value=255)
    content = io.BytesIO()
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(content, "PNG")
    return content.getvalue()
