"""A data set: its splits, and what a network must know of them.

Everything about a data set is inferred from its files: channels, size, classes, mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from darts.data.objective import Objective
from darts.data.order import hold_out, stratified
from darts.data.split import Split, split_search_set
from supernet.shapes import Shape


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
        target_vocabulary: the same of the targets, where these are words of another language.
        classes: name of each class, in the order of labels; empty where targets are no classes.
        preprocessing: how a file becomes an example, for whoever applies a trained network to further files.
        notes: what was done to the examples, or is odd about them, for people.
    """

    name: str
    shape: Shape | None
    train: Split
    test: Split
    valid: int = 0
    objective: Objective | None = None
    vocabulary: Mapping[str, int] | None = None
    target_vocabulary: Mapping[str, int] | None = None
    classes: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def search_split(self, train: float, valid: float | None = None) -> tuple[Tensor, Tensor]:
        """Return the training examples that train the weights of a search, and those that validate, ``(n,)`` each.

        The latter are the data set's own validation part where it has one.

        Args:
            train, valid: shares of the training split, as of ``split_search_set``, where it has none.
        """
        if self.valid:
            first, second = torch.arange(len(self.train)).split([len(self.train) - self.valid, self.valid])
            return first, second
        return split_search_set(self.train, train, valid)

    def metadata(self) -> dict[str, Any]:
        """Return what an application of a trained network must know: the classes' names and the preprocessing."""
        return {"classes": list(self.classes), "preprocessing": dict(self.preprocessing)}


@dataclass(frozen=True)
class Arrays:
    """An image data set as its reader returns it.

    Attributes:
        train_images, test_images: ``(n, c, h, w)``.
        train_labels, test_labels: classes ``(n,)``, from 0 up; or what ``target`` says.
        classes: name of each class; empty for the numbers themselves.
        target: a row of ``darts.data.dense.targets.TARGETS``, which says what the labels are.
        preprocessing, notes: as of ``DataSet``.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...] = ()
    target: str = "class"
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def limited(self, limit: int | None) -> Arrays:
        """Return at most ``limit`` examples of each split; all of them for None.

        Images of one class each are stratified by class; of others, the first are taken.
        """
        if limit is None:
            return self
        chosen = stratified if self.target == "class" else _first
        train, test = chosen(self.train_labels, limit), chosen(self.test_labels, limit)
        return replace(
            self,
            train_images=self.train_images[train],
            train_labels=self.train_labels[train],
            test_images=self.test_images[test],
            test_labels=self.test_labels[test],
        )


def _first(labels: np.ndarray, count: int) -> np.ndarray:
    return np.arange(min(count, len(labels)))


HELD_OUT_NOTE = "a fifth held out for testing, by class"


def with_held_out(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] = ()) -> Arrays:
    """Divide examples into a training and a test split (``order.hold_out``).

    Raises:
        UserError: where they are too few.
    """
    train, test = hold_out(labels)
    return Arrays(images[train], labels[train], images[test], labels[test], classes, notes=(HELD_OUT_NOTE,))
