"""A data set is recognized by what it holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from darts.artifacts.fingerprint import SAMPLED, _sampled, of_data_set
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays
from darts.data.resident import resident
from tests import tiny


def of(arrays):
    return of_data_set(resident("x", arrays, Augmentation(), torch.Generator()))


@pytest.fixture
def arrays():
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), np.uint8)
    return Arrays(images[:30], np.arange(30) % 3, images[30:], np.arange(10) % 3)


def test_equal_data_are_recognized(arrays):
    assert of(arrays) == of(replace(arrays)) and of_data_set(tiny.data()) == of_data_set(tiny.data())


@pytest.mark.parametrize("part", ["train_images", "test_images"])
def test_other_images_of_the_same_moments_are_noticed(part, arrays):
    turned = np.flip(getattr(arrays, part), axis=3).copy()
    assert of(replace(arrays, **{part: turned})) != of(arrays)


def test_other_labels_are_noticed(arrays):
    assert of(replace(arrays, train_labels=arrays.train_labels[::-1].copy())) != of(arrays)


def test_large_data_are_sampled_to_their_end():
    """In float32, the last of these indices would be rounded to one beyond the end."""
    count = 2**27 + 4
    found = _sampled(count)
    assert len(found) == SAMPLED and found[0] == 0 and found[-1] == count - 1 and (found.diff() > 0).all()
