"""Readers of image data sets into arrays, from the files of their publishers or of torchvision.

A reader validates what it reads and names the file at fault. Nothing is unpickled but torchvision's CIFAR files, whose
MD5 sums torchvision checks first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darts.data.dataset import HELD_OUT, Arrays
from darts.data.npz import npz
from darts.errors import UserError


def digits(root: Path, download: bool) -> Arrays:
    """Return scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels; a fifth is held out, stratified."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    split = train_test_split(images, labels, test_size=HELD_OUT, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = split
    return Arrays(train_images, train_labels, test_images, test_labels)


def cifar10(root: Path, download: bool) -> Arrays:
    """Read CIFAR-10: the official binary version (no pickle in it) or torchvision's files."""
    folder = _holding(root, "cifar-10-batches-bin", "data_batch_1.bin")
    if folder is None:
        return _torchvision("CIFAR10", root, download)
    parts = [_records(folder / f"data_batch_{k}.bin", 1, 10) for k in range(1, 6)]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    return Arrays(images, labels, *_records(folder / "test_batch.bin", 1, 10))


def cifar100(root: Path, download: bool) -> Arrays:
    """Read CIFAR-100 with its fine labels: the official binary version or torchvision's files."""
    folder = _holding(root, "cifar-100-binary", "train.bin")
    if folder is None:
        return _torchvision("CIFAR100", root, download)
    return Arrays(*_records(folder / "train.bin", 2, 100), *_records(folder / "test.bin", 2, 100))


def _holding(root: Path, folder: str, file: str) -> Path | None:
    return next((path for path in (root / folder, root) if (path / file).is_file()), None)


def _records(path: Path, label_bytes: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the official CIFAR binary format: for each image its labels, the finest last, then 3x32x32 bytes."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; the folder holds only a part of the data set")
    length = label_bytes + 3 * 32 * 32
    raw = np.fromfile(path, np.uint8)
    if raw.size == 0 or raw.size % length or (labels := raw.reshape(-1, length)[:, label_bytes - 1]).max() >= classes:
        raise UserError(f"{path}: not a CIFAR binary file of {length}-byte records; download it again")
    return raw.reshape(-1, length)[:, label_bytes:].reshape(-1, 3, 32, 32), labels


def _torchvision(name: str, root: Path, download: bool) -> Arrays:
    """Read a data set by torchvision's reader, which checks its files' MD5 sums."""
    import torchvision.datasets

    options = [{"split": "train"}, {"split": "test"}] if name == "SVHN" else [{"train": True}, {"train": False}]
    arrays = []
    for option in options:
        try:
            part = getattr(torchvision.datasets, name)(str(root), **option, download=download)
        except Exception as error:
            reason = str(error).splitlines()[0][:120]
            raise UserError(
                f"`data.root` {root}: {name} could not be read ({reason}); `data.download` downloads it"
            ) from None
        images, labels = part.data, getattr(part, "targets", getattr(part, "labels", None))
        images = np.asarray(images)
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[-1] == 3:
            images = images.transpose(0, 3, 1, 2)
        arrays += [np.ascontiguousarray(images), np.asarray(labels)]
    return Arrays(*arrays)


@dataclass(frozen=True)
class Reader:
    """A reader of arrays: (root, whether to download) -> arrays; and whether it needs a root."""

    read: Callable[[Path, bool], Arrays]
    needs_root: bool = True


READERS: dict[str, Reader] = {
    "digits": Reader(digits, needs_root=False),
    "mnist": Reader(lambda root, download: _torchvision("MNIST", root, download)),
    "fashion_mnist": Reader(lambda root, download: _torchvision("FashionMNIST", root, download)),
    "svhn": Reader(lambda root, download: _torchvision("SVHN", root, download)),
    "cifar10": Reader(cifar10),
    "cifar100": Reader(cifar100),
    "npz": Reader(npz),
}
"""Data set -> its reader."""
