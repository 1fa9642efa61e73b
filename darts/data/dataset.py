"""A data set: its splits, and what a network must know of them.

Everything about a data set is inferred from its files: channels, size, classes, mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from darts.data.objective import Objective
from darts.data.split import Split
from darts.errors import UserError
from supernet.shapes import ImageShape, LanguageShape, TextShape

HELD_OUT = 0.2
"""Share of the examples that becomes the test split of a data set without one of its own."""


@dataclass(frozen=True)
class DataSet:
    """The training and the test split of a data set.

    Attributes:
        name: the name that the configuration knows it by.
        shape: of examples and targets; None for a user's own data, whose network is the user's own too.
        train, test: the splits.
        valid: number of examples at the end of ``train`` that are the data set's own validation part; 0 for none.
        objective: what is minimized; None for classification.
        vocabulary: index of each word, where examples are words.
    """

    name: str
    shape: ImageShape | TextShape | LanguageShape | None
    train: Split
    test: Split
    valid: int = 0
    objective: Objective | None = None
    vocabulary: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Arrays:
    """An image data set as its reader returns it: images ``(n, c, h, w)``, labels ``(n,)`` from 0 up."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def hold_out(images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Shuffle the examples in a fixed random order and make the last fifth of them the test split.

    Raises:
        UserError: where a fifth of them is not one example.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    kept = len(labels) - int(HELD_OUT * len(labels))
    if kept == len(labels):
        raise UserError(f"{kept} images are too few to hold some out for testing")
    return Arrays(images[order[:kept]], labels[order[:kept]], images[order[kept:]], labels[order[kept:]])
