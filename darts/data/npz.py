"""A user's own arrays: an ``.npz`` file of images and labels, of any shape and type that NumPy writes.

Nothing is unpickled. Errors are one line that names the file, the array and the fix.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from darts.data.dataset import Arrays, hold_out
from darts.errors import UserError

NPZ_KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels"),
    ("x", "y"),
    ("X", "y"),
)


def npz(path: Path, download: bool = False) -> Arrays:
    """Read arrays from a ``.npz`` file: images of any layout and type of real numbers, labels of any kind.

    Keys are those of ``NPZ_KEYS``; without a test split, a fifth of the examples is held out.

    Raises:
        UserError: naming the file, the array, what is wrong with it and how to fix it.
    """
    content = _content(path)
    keys = next((keys for keys in NPZ_KEYS if set(keys) <= set(content)), None)
    if keys is None:
        wanted = " or ".join("/".join(keys) for keys in NPZ_KEYS)
        raise UserError(f"`data.root` {path}: holds {', '.join(sorted(content)) or 'nothing'}; wanted are {wanted}")
    try:
        images = _same([(key, *_images(key, content[key])) for key in keys[::2]])
        labels = _labels({key: content[key] for key in keys[1::2]}, list(map(len, images)), keys[::2])
        if len(images) == 1:
            return hold_out(images[0], labels[0])
    except UserError as error:
        raise UserError(f"`data.root` {path}: {error}") from None
    order = np.random.default_rng(0).permutation(len(labels[0]))
    return Arrays(images[0][order], labels[0][order], images[1], labels[1])


def _content(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of a file."""
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"`data.root` {path}: no .npz file, or a part of one; numpy.savez writes such files")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except Exception as error:
        raise UserError(f"`data.root` {path}: not a readable .npz file of plain arrays ({str(error)[:80]})") from None


def _images(key: str, images: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return ``(n, h, w)``, ``(n, c, h, w)`` or ``(n, h, w, c)`` as ``(n, c, h, w)``, and whether these were integers.

    Values of 8 bits stay, others become float32. Images are square, which shows which axis holds the channels.
    """
    found = f"{key} has shape {images.shape}, type {images.dtype}"
    if images.dtype.kind not in "buif":
        raise UserError(f"{found}; real numbers are needed")
    if images.ndim not in (3, 4):
        raise UserError(f"{found}; images have shape (n, h, w), (n, h, w, c) or (n, c, h, w)")
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[2] != images.shape[3] and images.shape[1] == images.shape[2]:
        images = images.transpose(0, 3, 1, 2)
    if 0 in images.shape:
        raise UserError(f"{found}; it is empty")
    if images.shape[2] != images.shape[3]:
        raise UserError(f"{found}; square images are needed: crop or pad them")
    small = images.dtype.kind == "b" or images.dtype == np.uint8
    with np.errstate(over="ignore"):
        read = np.ascontiguousarray(images, np.uint8 if small else np.float32)
    if not small and not np.isfinite(read).all():
        raise UserError(f"{key} holds values that are no finite numbers in float32: replace or scale them")
    return read, images.dtype.kind != "f"


def _same(splits: Sequence[tuple[str, np.ndarray, bool]]) -> list[np.ndarray]:
    """Return the images of both splits, checked to be of one shape and kind."""
    (first, train, whole), (last, test, also) = splits[0], splits[-1]
    if train.shape[1:] != test.shape[1:]:
        a, b = ("x".join(map(str, images.shape[1:])) for images in (train, test))
        raise UserError(f"images of {first} are {a}, of {last} {b} (channels, height, width): make them the same")
    if whole is not also:
        raise UserError(f"one of {first} and {last} holds whole numbers and the other fractions: scale both alike")
    return [images for _, images, _ in splits]


def _labels(arrays: Mapping[str, np.ndarray], counts: Sequence[int], images: Sequence[str]) -> list[np.ndarray]:
    """Return the labels of each split as classes from 0 up, in the order of the labels' values."""
    for key, labels, count, images_key in zip(arrays, arrays.values(), counts, images):
        found = f"{key} has shape {labels.shape}, type {labels.dtype}"
        if labels.shape not in ((count,), (count, 1)):
            hint = f"; {key}.argmax(1) makes it of scores" if labels.ndim == 2 and len(labels) == count else ""
            raise UserError(f"{found}; one label for each of the {count} images of {images_key} is needed{hint}")
        if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
            raise UserError(f"{found}, and holds fractions or NaN; labels of classes are whole numbers or text")
    kinds = {labels.dtype.kind in "US" for labels in arrays.values()}
    if len(kinds) > 1:
        raise UserError(f"one of {' and '.join(arrays)} holds numbers and the other text: make them the same")
    values, numbers = np.unique(np.concatenate([labels.reshape(-1) for labels in arrays.values()]), return_inverse=True)
    split = np.split(numbers.reshape(-1), np.cumsum(counts)[:-1])
    first, last = next(iter(arrays)), list(arrays)[-1]
    if len(values) < 2:
        raise UserError(f"{first} holds one label only, {values[0]}; two classes or more are needed")
    unknown = np.setdiff1d(split[-1], split[0])
    if len(unknown):
        raise UserError(f"{last} holds the label {values[unknown[0]]}, which {first} never does")
    return split
