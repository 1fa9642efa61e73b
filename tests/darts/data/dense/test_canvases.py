"""Canvases: masks and boxes are exact, digits overlap but stay visible, and equal arguments give equal canvases."""

from dataclasses import replace

import numpy as np
import pytest

from darts.config import CanvasConfig
from darts.data.dataset import Arrays
from darts.data.dense.canvases import canvases, compose
from darts.data.dense.labels import NO_BOX
from darts.errors import UserError

CONFIG = CanvasConfig(size=14, objects=3, smallest=6, largest=9, train=30, test=8)


def blocks(count=40):
    """Digits that are filled squares: their pixels are known."""
    images = np.zeros((count, 1, 8, 8), np.uint8)
    images[:, :, 1:7, 2:6] = 255
    return images, np.arange(count) % 10


def test_masks_and_boxes_are_exact():
    made = compose(*blocks(), CONFIG, count=30, part=0)
    assert made.images.shape == (30, 1, 14, 14) and made.boxes.shape == (30, 3, 5)
    ink = made.masks > 0
    assert made.images[:, 0][ink].min() >= 94 and np.median(made.images[:, 0][~ink]) <= 120
    counts = (made.boxes[..., 4] != NO_BOX).sum(1)
    assert counts.min() >= 1 and len(set(counts)) == 3
    overlapping = 0
    for mask, boxes in zip(made.masks, made.boxes):
        boxes = boxes[boxes[:, 4] != NO_BOX].astype(int)
        covered = np.zeros(mask.shape, int)
        for left, top, right, bottom, label in boxes:
            inside = mask[top:bottom, left:right] == label + 1
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert edge.any()
            covered[top:bottom, left:right] += 1
        assert (mask[covered == 0] == 0).all() and set(mask[mask > 0] - 1) == set(boxes[:, 4])
        overlapping += covered.max() > 1
    assert overlapping >= 1


def test_equal_arguments_give_equal_canvases():
    digits, labels = blocks()
    made = [compose(digits, labels, CONFIG, count=5, part=part) for part in (0, 0, 1)]
    assert np.array_equal(made[0].images, made[1].images) and not np.array_equal(made[0].images, made[2].images)
    other = compose(digits, labels, replace(CONFIG, seed=1), count=5, part=0)
    assert not np.array_equal(made[0].images, other.images)


def test_arrays_of_either_target():
    digits = Arrays(*blocks(), *blocks(20))
    masks, boxes = (canvases(digits, CONFIG, target) for target in ("mask", "boxes"))
    assert masks.classes == ("background", *"0123456789") and boxes.classes == tuple("0123456789")
    assert len(masks.train_labels) == 30 and len(boxes.test_labels) == 8
    assert np.array_equal(masks.train_images, boxes.train_images)
    assert len(masks.limited(4).train_images) == len(boxes.limited(4).test_labels) == 4


def test_digits_of_training_canvases_alone_are_rotated():
    digits = Arrays(*blocks(), *blocks(20))
    plain, turned = (canvases(digits, replace(CONFIG, rotation=angle), "boxes") for angle in (0.0, 45.0))
    assert np.array_equal(plain.test_images, turned.test_images)
    assert np.array_equal(plain.test_labels, turned.test_labels)
    boxes = [made.train_labels[made.train_labels[..., 4] != NO_BOX] for made in (plain, turned)]
    widths = [found[:, 2] - found[:, 0] for found in boxes]
    assert widths[0].max() <= 6, "upright blocks are half as wide as their side"
    assert widths[1].max() > 6 and widths[1].min() >= 1


def test_training_canvases_alone_can_be_full():
    made = canvases(Arrays(*blocks(), *blocks(20)), replace(CONFIG, full=True, size=40), "boxes")
    counts = [(labels[..., 4] != NO_BOX).sum(1) for labels in (made.train_labels, made.test_labels)]
    assert counts[0].min() == 3 and counts[1].min() == 1


def test_digits_that_do_not_fit():
    with pytest.raises(UserError, match=r"`data.canvas.largest` 30; they must rise, up to `data.canvas.size`, 14"):
        compose(*blocks(), replace(CONFIG, largest=30), count=1, part=0)
