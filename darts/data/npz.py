"""A user's own arrays: an ``.npz`` file of images and labels, of any shape and type that NumPy writes.

Nothing is unpickled, and no array is read but those that are used. Errors are one line that names the file, the array
and the fix.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from darts.data.dataset import Arrays, with_held_out
from darts.errors import UserError

IMAGES, LABELS = ("x", "images", "image", "data"), ("y", "labels", "label", "targets", "target")
"""Names of arrays of images and of labels, in lower case; those of a split have its name before or after."""

TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation", "dev")

CLASSES = ("class_names", "classes", "label_names", "names")
"""Arrays that hold the classes' names, in the order of their labels."""

WANTED = "x_train/y_train/x_test/y_test or train_images/train_labels/test_images/test_labels; without a test split, "
WANTED += "x_train/y_train, images/labels or x/y"

MAX_SCALE = 8.0
"""Ratio of the standard deviations of both splits from which on they are taken to be scaled differently."""


def npz(path: Path, download: bool = False) -> Arrays:
    """Read arrays from a ``.npz`` file: images of any layout and type of real numbers, labels of any kind.

    Without a labelled test split, a fifth of the examples is held out.

    Raises:
        UserError: naming the file, the array, what is wrong with it and how to fix it.
    """
    if not path.is_file():
        raise UserError(f"`data.root` {path}: no .npz file; numpy.savez writes such files")
    if not zipfile.is_zipfile(path):
        raise UserError(f"`data.root` {path}: no .npz file, or a part of one; numpy.savez writes such files")
    try:
        with np.load(path, allow_pickle=False) as file:
            train, test = _splits(file.files)
            if train is None:
                held = ", ".join(sorted(file.files)) or "nothing"
                raise UserError(f"holds {held}; wanted are {WANTED}")
            arrays = {key: _read(file, key) for pair in (train, test) if pair for key in pair}
            names = _class_names(file)
        return _named(_arrays(arrays, train, test), names)
    except UserError as error:
        raise UserError(f"`data.root` {path}: {error}") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        raise UserError(f"`data.root` {path}: not a readable .npz file of plain arrays ({reason})") from None


Pair = tuple[str, str]
"""The names of the images and of the labels of a split."""


def _splits(keys: Sequence[str]) -> tuple[Pair | None, Pair | None]:
    """Find the arrays of the training and of the test split, whatever the case of their names."""
    known: dict[str, str] = {}
    for key in keys:
        known.setdefault(key.lower(), key)

    def first(forms: Iterator[Pair]) -> Pair | None:
        return next(((known[x], known[y]) for x, y in forms if x in known and y in known), None)

    train, test = first(_forms(TRAIN)), first(_forms(TEST))
    if train is None:
        train = first((x, y) for x in IMAGES for y in LABELS)
    return train, test


def _forms(parts: Sequence[str]) -> Iterator[Pair]:
    for part in parts:
        for x in IMAGES:
            for y in LABELS:
                yield f"{x}_{part}", f"{y}_{part}"
                yield f"{part}_{x}", f"{part}_{y}"


def _read(file: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        return file[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise UserError(
            f"{key} holds pickled Python objects, which are refused: plain arrays of numbers or text are needed, "
            f"such as numpy.array({key}.tolist())"
        ) from None


def _class_names(file: np.lib.npyio.NpzFile) -> tuple[str, ...]:
    for key in CLASSES:
        if key in file.files:
            try:
                names = file[key]
            except ValueError:  # pickled: a name is not worth an error
                return ()
            return tuple(map(str, names)) if names.ndim == 1 and names.dtype.kind in "US" else ()
    return ()


def _named(arrays: Arrays, names: tuple[str, ...]) -> Arrays:
    """Return the arrays with the names in place of the labels 0 to n - 1, where there is one name for each."""
    labels = tuple(map(str, range(len(names))))
    return replace(arrays, classes=names) if names and arrays.classes == labels else arrays


def _arrays(arrays: Mapping[str, np.ndarray], train: Pair, test: Pair | None) -> Arrays:
    pairs = [train] if test is None else [train, test]
    images = _same([(key, *_images(key, arrays[key])) for key, _ in pairs])
    labels, classes = _labels({key: arrays[key] for _, key in pairs}, list(map(len, images)), [x for x, _ in pairs])
    if test is None:
        return with_held_out(images[0], labels[0], classes)
    order = np.random.default_rng(0).permutation(len(labels[0]))
    return Arrays(images[0][order], labels[0][order], images[1], labels[1], classes)


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
    """Return the images of both splits, checked to be of one shape, kind and scale."""
    (first, train, whole), (last, test, also) = splits[0], splits[-1]
    if train.shape[1:] != test.shape[1:]:
        a, b = ("x".join(map(str, images.shape[1:])) for images in (train, test))
        raise UserError(f"images of {first} are {a}, of {last} {b} (channels, height, width): make them the same")
    if whole is not also:
        raise UserError(f"one of {first} and {last} holds whole numbers and the other fractions: scale both alike")
    if len(splits) == 1:
        return [train]
    if train.dtype != test.dtype:  # 8 bits beside more
        train, test = train.astype(np.float32), test.astype(np.float32)
    low, high = sorted(float(np.std(images, dtype=np.float64)) for images in (train, test))
    signed = [float((images < 0).mean()) for images in (train, test)]
    if high > MAX_SCALE * low > 0 or (max(signed) > 0.01 and min(signed) == 0):
        ranges = [f"{key} from {images.min():.4g} to {images.max():.4g}" for key, images, _ in splits]
        raise UserError(f"values of {' and '.join(ranges)}: scale both alike")
    return [train, test]


def _labels(
    arrays: Mapping[str, np.ndarray], counts: Sequence[int], images: Sequence[str]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the labels of each split as classes from 0 up, in the order of the labels' values, and these values."""
    for key, labels, count, images_key in zip(arrays, arrays.values(), counts, images):
        found = f"{key} has shape {labels.shape}, type {labels.dtype}"
        if labels.shape not in ((count,), (count, 1)):
            hint = f"; {key}.argmax(1) makes it of scores" if labels.ndim == 2 and len(labels) == count else ""
            raise UserError(f"{found}; one label for each of the {count} images of {images_key} is needed{hint}")
        if labels.dtype.kind not in "buifUS":
            raise UserError(f"{found}; labels of classes are whole numbers or text")
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
    return split, tuple(_text(value) for value in values)


def _text(value: np.generic) -> str:
    if isinstance(value, np.bytes_):
        return value.decode(errors="replace")
    return f"{value:g}" if isinstance(value, np.floating) else str(value)
