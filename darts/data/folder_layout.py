"""The layout of a folder of images, one sub-folder for each class: torchvision's ImageFolder layout.

``ROOT/train/<class>/*`` and ``ROOT/test`` (or ``val``) of the same form; or ``ROOT/<class>/*``, of which a fifth is
held out for testing. Splits are recognized in any spelling (``Train``, ``training_set``, ``VAL``, ``dev``, ...).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from darts.data.dataset import HELD_OUT_NOTE
from darts.data.order import hold_out, stratified
from darts.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Ends of the names of image files, in lower case; those of torchvision's ImageFolder."""

OTHER_EXTENSIONS = (
    ".gif",
    ".heic",
    ".heif",
    ".avif",
    ".jfif",
    ".jpe",
    ".jp2",
    ".tga",
    ".svg",
    ".npy",
    ".raw",
    ".dng",
    ".dcm",
)
"""Ends of the names of images that are not read; where there are such files beside others, a note says so."""

SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation", "dev", "devel", "development", "eval", "evaluation", "holdout"),
}
"""Split -> the words that a folder of it is named by."""

FILLERS = {"set", "data", "dataset", "split", "images", "image", "imgs", "img", "folder", "samples"}
"""Words beside that of the split in a folder's name: ``training_set``, ``test data``."""

SYSTEM_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
"""Folders that operating systems and tools make, in lower case; hidden ones begin with a full stop."""

Samples = list[tuple[str, int]]
"""Image files and their labels, ``(path, label)``."""

S = TypeVar("S")


@dataclass(frozen=True)
class Listing:
    """The image files of both splits.

    Attributes:
        classes: name of each class, sorted.
        train: files of the training split, in a fixed random order.
        test: files of the test split.
        notes: what the layout was found to be, for people.
    """

    classes: tuple[str, ...]
    train: Samples
    test: Samples
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[list[str], list[str]]:
        """The files of the training split and of the test split."""
        return [path for path, _ in self.train], [path for path, _ in self.test]

    def limited(self, limit: int | None) -> Listing:
        """Return at most ``limit`` files of each split, stratified by class; all of them for None."""
        if limit is None:
            return self
        return replace(self, train=_some(self.train, limit), test=_some(self.test, limit))


def _some(samples: Samples, limit: int) -> Samples:
    return [samples[index] for index in stratified(np.array([label for _, label in samples]), limit)]


def list_folder(root: Path) -> Listing:
    """Find the images of both splits.

    Raises:
        UserError: where the folder is not of the layout, or its splits disagree about the classes.
    """
    if not root.is_dir():
        raise UserError(f"`data.root` {root}: no such folder")
    try:
        return _listing(root)
    except OSError as error:
        raise UserError(f"`data.root` {root}: not readable ({error.strerror or error}: {error.filename})") from None


def _listing(root: Path) -> Listing:
    inner = _unwrapped(root)
    if inner != root:
        found_inside = _listing(inner)
        return replace(found_inside, notes=(f"in {inner.relative_to(root)}/", *found_inside.notes))
    found = _splits(root)
    if "train" not in found:
        return _without_splits(root)
    train_root = found["train"]
    _refuse_unknown_split(root, train_root)
    classes, train = _samples(train_root)
    notes = _left_out(root)
    notes += [f"{folder.name}/ holds no class folders and is not used" for folder in _unlabelled(root)]
    test_root = found.get("test", found.get("val"))
    if test_root is None:
        kept, tested = divided(root, train, [label for _, label in train])
        return Listing(classes, kept, tested, (f"splits: {train_root.name}/, {HELD_OUT_NOTE}", *notes))
    also, test = _samples(test_root)
    if also != classes:
        odd = sorted(set(also) ^ set(classes))
        raise UserError(f"`data.root` {root}: class {odd[0]!r} is in one of {train_root.name}/, {test_root.name}/ only")
    if "test" in found and "val" in found:
        notes.append(f"{found['val'].name}/ is not used")
    return Listing(
        classes,
        in_random_order(train),
        test,
        (f"splits: {train_root.name}/ and {test_root.name}/", *notes),
    )


def _without_splits(root: Path) -> Listing:
    """List ``ROOT/<class>/*`` and hold out a part of it.

    Raises:
        UserError: where folders are splits by their names, which are not enough or hold no class folders.
    """
    found = _splits(root)
    if found:
        given = ", ".join(f"{folder.name}/" for folder in found.values())
        raise UserError(f"`data.root` {root}: {given} holds class folders, but no training split does; name one train/")
    folders = folders_of(root)
    unlabelled = [folder for folder in _unlabelled(root) if split_of(folder.name, alone=True) != "train"]
    if unlabelled and len(folders) > len(unlabelled):
        name = unlabelled[0].name
        raise UserError(
            f"`data.root` {root}: {name}/ holds images without classes, beside class folders: move {name}/ away"
        )
    classes, samples = _samples(root)
    kept, tested = divided(root, samples, [label for _, label in samples])
    return Listing(classes, kept, tested, (HELD_OUT_NOTE, *_left_out(root)))


def divided(root: Path, samples: Sequence[S], labels: Sequence[int]) -> tuple[list[S], list[S]]:
    """Divide examples by their classes into a training and a test split (``order.hold_out``).

    Raises:
        UserError: where they are too few.
    """
    try:
        parts = hold_out(np.array(labels))
    except UserError as error:
        raise UserError(f"`data.root` {root}: {error}") from None
    kept, tested = ([samples[index] for index in part] for part in parts)
    return kept, tested


def in_random_order(samples: Sequence[S]) -> list[S]:
    """Return examples in a random order that is fixed by their number."""
    return [samples[index] for index in np.random.default_rng(0).permutation(len(samples))]


def _unwrapped(root: Path) -> Path:
    """Return the folder itself, or the innermost of folders that hold one folder and nothing else, as archives do."""
    inner = root
    while len(folders := folders_of(inner)) == 1 and not split_of(folders[0].name, alone=True):
        inner = folders[0]
        if _has_images(inner):
            return root
    return inner if len(_class_folders(inner)) > 1 else root


def _splits(root: Path) -> dict[str, Path]:
    """Return split -> its folder: sub-folders that are named like a split and hold class folders.

    Raises:
        UserError: where two folders are of one split.
    """
    labelled = [folder for folder in folders_of(root) if not _has_images(folder) and _class_folders(folder)]
    found: dict[str, list[Path]] = {}
    for alone in (True, False):
        named = [(folder, split_of(folder.name, alone)) for folder in labelled]
        if not alone and "train" not in {*found, *(split for _, split in named)}:
            break  # without a training split, a word within a longer name, such as "test tube", makes no split
        for split in SPLITS:
            folders = [folder for folder, of in named if of == split]
            if folders and split not in found:
                found[split] = folders
    for split, folders in found.items():
        if split != "val" and len(folders) > 1:
            names = ", ".join(f"{folder.name}/" for folder in folders)
            raise UserError(f"`data.root` {root}: {names} are all named like the {split} split; keep one")
    return {split: folders[0] for split, folders in found.items()}


def split_of(name: str, alone: bool) -> str | None:
    """Return the split that a folder is named like; with ``alone``, where its name has no further word."""
    words = [word.removesuffix("set") or word for word in re.findall(r"[^\W\d_]+", name.casefold())]
    words = [word for word in words if word not in FILLERS]
    splits = {split for word in words for split, names in SPLITS.items() if word in names}
    if len(splits) != 1 or (alone and len(words) > 1):
        return None
    return splits.pop()


def _refuse_unknown_split(root: Path, train_root: Path) -> None:
    """Refuse a folder beside the training split that holds the same class folders under a name that is no split's."""
    classes = {folder.name for folder in _class_folders(train_root)}
    for folder in folders_of(root):
        if folder != train_root and not any(split_of(folder.name, alone) for alone in (True, False)):
            shared = classes & {inner.name for inner in _class_folders(folder)}
            if len(shared) > 1:
                raise UserError(
                    f"`data.root` {root}: {folder.name}/ holds the same classes as {train_root.name}/; rename it test/ "
                    f"to test on it, or move it away"
                )


def _unlabelled(root: Path) -> list[Path]:
    """Return sub-folders that are named like a split, and hold images but no class folders."""
    return [f for f in folders_of(root) if split_of(f.name, alone=True) and _has_images(f) and not _class_folders(f)]


def folders_of(root: Path) -> list[Path]:
    """Return visible sub-folders, sorted by name."""
    return sorted(
        (path for path in root.iterdir() if path.is_dir() and _is_visible(path.name)), key=lambda path: path.name
    )


def _class_folders(root: Path) -> list[Path]:
    """Return visible sub-folders that hold images at any depth, sorted by name."""
    return [folder for folder in folders_of(root) if any(any(map(_is_image, files)) for _, files in _walk(folder))]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in SYSTEM_FOLDERS


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)


def _has_images(folder: Path) -> bool:
    return any(_is_image(path.name) and path.is_file() for path in folder.iterdir())


def images_of(folder: Path) -> list[str]:
    """Return the images of a folder and of its sub-folders, in the order of torchvision's ImageFolder."""
    return [
        os.path.join(place, name) for place, files in sorted(_walk(folder)) for name in sorted(files) if _is_image(name)
    ]


def _left_out(root: Path) -> list[str]:
    """Return a note on images of formats that are not read; none where there are no such files."""
    names = [name.lower() for _, files in _walk(root) for name in files if not name.startswith(".")]
    counts = Counter(os.path.splitext(name)[1] for name in names if name.endswith(OTHER_EXTENSIONS))
    if not counts:
        return []
    return [f"left out: {', '.join(f'{count} {end} files' for end, count in sorted(counts.items()))}"]


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and its visible sub-folders at any depth, with the names of their files; each folder once."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if _is_visible(name)]
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        yield place, files


def _samples(root: Path) -> tuple[tuple[str, ...], Samples]:
    """Return the classes of a split, which are its sub-folders, and its files.

    Raises:
        UserError: where there are fewer than two, or one holds no images.
    """
    folders = folders_of(root)
    if not folders:
        raise UserError(f"`data.root` {root}: one sub-folder of images for each class is needed; there is none")
    files = [images_of(folder) for folder in folders]
    for folder, found in zip(folders, files):
        if not found:
            ends = ", ".join(EXTENSIONS)
            raise UserError(f"`data.root` {root}: class folder {folder.name}/ holds no images ({ends})")
    if len(folders) < 2:
        raise UserError(f"`data.root` {root}: one class only, {folders[0].name!r}; two sub-folders or more are needed")
    samples = [(path, label) for label, found in enumerate(files) for path in found]
    return tuple(folder.name for folder in folders), samples
