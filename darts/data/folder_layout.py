"""The layout of a folder of images, one sub-folder for each class: torchvision's ImageFolder layout.

``ROOT/train/<class>/*`` and ``ROOT/test`` (or ``val``) of the same form; or ``ROOT/<class>/*``, of which a fifth is
held out for testing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision.datasets import ImageFolder

from darts.data.dataset import HELD_OUT
from darts.errors import UserError

TEST_SPLITS = ("test", "val", "valid", "validation")


@dataclass(frozen=True)
class Listing:
    """The image files of both splits and their labels, ``(path, label)``."""

    classes: tuple[str, ...]
    train: list[tuple[str, int]]
    test: list[tuple[str, int]]


def list_folder(root: Path) -> Listing:
    """Find the images of both splits; those of the training split in a fixed random order.

    Raises:
        UserError: where the folder is not of the layout, or its splits disagree about the classes.
    """
    if not root.is_dir():
        raise UserError(f"`data.root` {root}: no such folder")
    train_root = root / "train" if (root / "train").is_dir() else root
    train = _image_folder(train_root)
    test_root = next((root / name for name in TEST_SPLITS if (root / name).is_dir()), None)
    if train_root == root or test_root is None:
        order = np.random.default_rng(0).permutation(len(train.samples))
        kept = len(order) - int(HELD_OUT * len(order))
        if kept == len(order):
            raise UserError(f"`data.root` {root}: {kept} images are too few to hold some out for testing")
        samples = [train.samples[index] for index in order]
        return Listing(tuple(train.classes), samples[:kept], samples[kept:])
    test = _image_folder(test_root)
    if test.classes != train.classes:
        odd = sorted(set(test.classes) ^ set(train.classes))
        raise UserError(f"`data.root` {root}: class {odd[0]!r} is in one of {train_root.name}/, {test_root.name}/ only")
    order = np.random.default_rng(0).permutation(len(train.samples))
    return Listing(tuple(train.classes), [train.samples[index] for index in order], test.samples)


def _image_folder(root: Path) -> ImageFolder:
    try:
        found = ImageFolder(str(root))
    except FileNotFoundError as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"`data.root` {root}: one sub-folder of images for each class is needed ({reason})") from None
    if len(found.classes) < 2:
        raise UserError(f"`data.root` {root}: one class only, {found.classes[0]!r}; two sub-folders or more are needed")
    return found
