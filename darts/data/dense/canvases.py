"""Digits on canvases: several to a picture, overlapping, on textured ground; masks and boxes are exact.

Axes: ``n`` canvas, ``m`` digit of a canvas, ``h w`` space.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from darts.config import CanvasConfig
from darts.data.dataset import Arrays
from darts.data.dense.labels import NO_BOX
from darts.errors import UserError

BACKGROUND = "background"
"""Class 0 of masks."""

INK = 0.5
"""Opacity from which a pixel is of a digit."""

EDGE = 4.0
"""Steepness of edges: factor of the opacity's distance from ``INK``. Enlarged digits have wide edges, on which nothing
in the picture would decide which pixels are of the digit."""

COVERED = 0.25
"""Largest share of a digit's visible pixels that one more covers."""

TRIES = 20
"""Places that are tried for a digit; it is left out where none covers little enough of the others."""

GROUND, BRIGHT = (20, 120), (170, 255)
"""Darkest and brightest value of the ground, and of digits."""


@dataclass(frozen=True)
class Canvases:
    """Composed pictures.

    Attributes:
        images: ``(n, 1, h, w)``, uint8.
        masks: class of each pixel, 0 for the background, ``(n, h, w)``, uint8.
        boxes: left, top, right, bottom of each digit's visible pixels, and its class, ``(n, m, 5)``; ``NO_BOX`` fills
            up.
    """

    images: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray


def compose(digits: np.ndarray, labels: np.ndarray, config: CanvasConfig, *, count: int, part: int) -> Canvases:
    """Compose canvases; the same for equal arguments.

    Args:
        digits: grey, bright on dark, ``(digits, 1, h, w)``, uint8.
        labels: class of each, ``(digits,)``.
        config: of the canvases.
        count: number of canvases.
        part: of the data set, which draws other numbers.

    Raises:
        UserError: where digits do not fit on a canvas.
    """
    if not config.smallest <= config.largest <= config.size:
        sizes = f"`data.canvas.smallest` is {config.smallest}, `data.canvas.largest` {config.largest}"
        raise UserError(f"{sizes}; they must rise, up to `data.canvas.size`, {config.size}")
    draw = np.random.default_rng((config.seed, part))
    chosen = draw.integers(len(digits), size=(count, config.objects))
    sides = draw.integers(config.smallest, config.largest + 1, size=chosen.shape)
    numbers = draw.integers(config.objects if config.full else 1, config.objects + 1, size=count)
    turn = np.deg2rad(config.rotation)
    angles = draw.uniform(-turn, turn, chosen.shape) if turn else np.zeros(chosen.shape)
    stamps = _resized(digits[:, 0], chosen, sides, angles)
    images = _ground(count, config.size, draw)
    masks = np.zeros((count, config.size, config.size), np.uint8)
    boxes = np.zeros((count, config.objects, 5), np.float32)
    boxes[..., 4] = NO_BOX
    for index in range(count):
        owner = np.full((config.size, config.size), -1)
        drawn = range(numbers[index])
        for number in drawn:
            _place(images[index], owner, stamps[index][number], number, draw)
        for number in drawn:
            rows, columns = np.nonzero(owner == number)
            if len(rows):
                label = labels[chosen[index, number]]
                masks[index][owner == number] = label + 1
                boxes[index, number] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, label
    return Canvases(images.round().astype(np.uint8)[:, None], masks, boxes)


def _resized(
    digits: np.ndarray, chosen: np.ndarray, sides: np.ndarray, angles: np.ndarray
) -> list[list[np.ndarray]]:  # fmt: skip
    """Return the opacity of each digit at its side and angle, from 0 to 1, with steep edges, cut to its pixels."""
    found: list[list[np.ndarray]] = [[np.empty(0)] * chosen.shape[1] for _ in chosen]
    for side in np.unique(sides):
        canvas, number = np.nonzero(sides == side)
        images = torch.from_numpy(digits[chosen[canvas, number]])[:, None].float() / 255
        images = F.interpolate(images, size=(int(side),) * 2, mode="bilinear", antialias=True)
        if angles.any():
            images = _rotated(images, torch.from_numpy(angles[canvas, number]).float())
        for n, m, opacity in zip(canvas, number, images[:, 0].numpy()):
            rows, columns = (np.nonzero((opacity >= INK).any(axis))[0] for axis in (1, 0))
            if len(rows):
                opacity = opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            found[n][m] = (INK + EDGE * (opacity - INK)).clip(0, 1)
    return found


def _rotated(images: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return images ``(n, 1, h, w)`` rotated about their centres by angles ``(n,)`` in radians, without the corners."""
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    rotations = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    return F.grid_sample(images, F.affine_grid(rotations, list(images.shape), align_corners=False), align_corners=False)


def _ground(count: int, size: int, draw: np.random.Generator) -> np.ndarray:
    """Return textures, ``(n, h, w)``, float32: noise of two scales, between two random values of ``GROUND``."""
    coarse = torch.from_numpy(draw.random((count, 1, 5, 5), np.float32))
    noise = 0.7 * F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)[:, 0].numpy()
    noise += 0.3 * draw.random((count, size, size), np.float32)
    ends = np.sort(draw.uniform(*GROUND, (count, 2)), axis=1).astype(np.float32)
    return ends[:, :1, None] + noise * (ends[:, 1] - ends[:, 0])[:, None, None]


def _place(image: np.ndarray, owner: np.ndarray, opacity: np.ndarray, number: int, draw: np.random.Generator) -> None:
    """Draw a digit where it covers little enough of the others, in place; nowhere where there is no such place.

    Args:
        image: ``(h, w)``.
        owner: number of the digit that each pixel is of, -1 for none, ``(h, w)``.
        opacity: of the digit, ``(height, width)``.
        number: of the digit.
        draw: of the place and the brightness.
    """
    (height, width), brightness = opacity.shape, draw.uniform(*BRIGHT)
    ink, before = opacity >= INK, np.bincount(owner.ravel() + 1, minlength=number + 1)[1:]
    for _ in range(TRIES):
        top, left = (draw.integers(0, length - part + 1) for length, part in zip(owner.shape, (height, width)))
        window = slice(top, top + height), slice(left, left + width)
        covered = np.bincount(owner[window][ink] + 1, minlength=number + 1)[1:]
        if (covered <= COVERED * before).all():
            image[window] += opacity * (brightness - image[window])
            owner[window][ink] = number
            return


def canvases(digits: Arrays, config: CanvasConfig, target: str) -> Arrays:
    """Return the canvases of both splits' digits.

    Args:
        digits: one to an image.
        config: of the canvases.
        target: ``mask`` or ``boxes``, of ``darts.data.dense.targets.TARGETS``.

    Raises:
        UserError: where digits do not fit on a canvas.
    """
    train = compose(digits.train_images, digits.train_labels, config, count=config.train, part=0)
    plain = replace(config, full=False, rotation=0.0)
    test = compose(digits.test_images, digits.test_labels, plain, count=config.test, part=1)
    names = digits.classes or tuple(map(str, range(1 + int(digits.train_labels.max()))))
    masks = target == "mask"
    number = config.objects if config.full else f"1 to {config.objects}"
    return Arrays(
        train.images,
        train.masks if masks else train.boxes,
        test.images,
        test.masks if masks else test.boxes,
        classes=(BACKGROUND, *names) if masks else names,
        target=target,
        notes=(f"{number} digits of {config.smallest} to {config.largest} pixels on each training canvas",),
    )
