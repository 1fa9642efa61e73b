"""The splits of images with masks or boxes, and the form that their files are brought to in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from darts.data.folder_layout import divided, in_random_order
from darts.data.image_folder import ImageForm, form_of
from darts.errors import UserError

E = TypeVar("E")

HELD_OUT_NOTE = "a fifth held out for testing"


def splits_of(
    root: Path, train: Sequence[E], test: Sequence[E] | None, note: str | None = None
) -> tuple[list[E], list[E], tuple[str, ...]]:
    """Return the training examples in a fixed random order, those for testing, and notes for people.

    Args:
        root: of the data set.
        train: examples of the training split.
        test: of the test split; None where a fifth of ``train`` is to be held out.
        note: on the splits that are there.

    Raises:
        UserError: where there are too few to hold some out.
    """
    if test is None:
        return *divided(root, train, [0] * len(train)), (HELD_OUT_NOTE,)
    return in_random_order(train), list(test), (note,) if note else ()


def form_in_memory(
    root: Path, train: Sequence[str], test: Sequence[str], *, size: int | None, planes: int = 0
) -> ImageForm:
    """Return the form of the images of both splits, as of ``form_of``.

    Args:
        root: of the data set.
        train, test: paths of the images.
        size: side that they are brought to, where given.
        planes: bytes of each pixel beside its channels.

    Raises:
        UserError: where they do not fit into memory, or naming the file that is no image.
    """
    form = form_of(train, test, size)
    if not form.fits_memory(len(train) + len(test), planes):
        raise UserError(f"`data.root` {root}: more than 2 GiB of pixels; lower `data.size` or set `data.limit`")
    return form
