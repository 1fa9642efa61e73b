"""Readers of image data sets into arrays, from the files of their publishers or of torchvision.

A reader validates what it reads and names the file at fault. Nothing is unpickled but torchvision's CIFAR files, whose
MD5 sums torchvision checks first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darts.data.dataset import Arrays
from darts.data.idx import find_idx, read_idx, wanted_files
from darts.data.npz import npz
from darts.data.order import HELD_OUT, stratified
from darts.errors import UserError

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
"""Classes of Fashion-MNIST."""

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Classes of CIFAR-10."""

FILES_OF = {
    "MNIST": wanted_files(),
    "FashionMNIST": wanted_files(),
    "CIFAR10": "cifar-10-batches-bin/ (data_batch_1.bin, ...) or cifar-10-batches-py/",
    "CIFAR100": "cifar-100-binary/ (train.bin, test.bin) or cifar-100-python/",
    "SVHN": "train_32x32.mat and test_32x32.mat",
}
"""Data set -> the files that are looked for."""


def digits(root: Path, download: bool) -> Arrays:
    """Return scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels; a fifth is held out, stratified."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    split = train_test_split(images, labels, test_size=HELD_OUT, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = split
    return Arrays(train_images, train_labels, test_images, test_labels)


DIGITS201_TRAIN, DIGITS201_COPIES, DIGITS201_VALID = 600, 2, 500
"""Digits that the digits benchmark trains on, copies of each, and its validation images; the rest, 697, are its test
images."""

DIGITS201_NOISE = 32.0
"""Standard deviation of the noise on every copy, of 255; a digit's ink is 85 on a ground of 85."""


def digits201(root: Path, download: bool) -> Arrays:
    """Return scikit-learn's digits as the digits benchmark has them: noisy, few for training, and for testing its
    validation images, then its test images.

    Noise has a standard deviation of about one of the ink's. Each training digit is there twice, one set after the
    other, each with noise of its own; the order of digits and the noise are fixed.
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    images, labels = images[order].reshape(-1, 1, 8, 8), labels[order]
    chosen = stratified(labels, DIGITS201_TRAIN)
    rest = np.delete(np.arange(len(labels)), chosen)
    chosen = np.tile(chosen, DIGITS201_COPIES)

    def noisy(part: np.ndarray) -> np.ndarray:
        values = 85 + 85 / 16 * images[part] + rng.normal(0, DIGITS201_NOISE, (len(part), 1, 8, 8))
        return np.clip(np.round(values), 0, 255).astype(np.uint8)

    return Arrays(noisy(chosen), labels[chosen], noisy(rest), labels[rest])


def cifar10(root: Path, download: bool) -> Arrays:
    """Read CIFAR-10: the official binary version (no pickle in it) or torchvision's files."""
    folder = _holding(root, "cifar-10-batches-bin", "data_batch_1.bin")
    if folder is None:
        return _torchvision("CIFAR10", root, download)
    parts = [_records(folder / f"data_batch_{k}.bin", 1, 10) for k in range(1, 6)]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    return Arrays(images, labels, *_records(folder / "test_batch.bin", 1, 10), classes=CIFAR10)


def cifar100(root: Path, download: bool) -> Arrays:
    """Read CIFAR-100 with its fine labels: the official binary version or torchvision's files."""
    folder = _holding(root, "cifar-100-binary", "train.bin")
    if folder is None:
        return _torchvision("CIFAR100", root, download)
    train, test = _records(folder / "train.bin", 2, 100), _records(folder / "test.bin", 2, 100)
    return Arrays(*train, *test, classes=_names(folder / "fine_label_names.txt", 100))


def _holding(root: Path, folder: str, file: str) -> Path | None:
    return next((path for path in (root / folder, root) if (path / file).is_file()), None)


def _names(path: Path, count: int) -> tuple[str, ...]:
    """Return the names of a file, a line each; none where there are not ``count``."""
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(names) if len(names) == count else ()


def _records(path: Path, label_bytes: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the official CIFAR binary format: for each image its labels, the finest last, then 3x32x32 bytes."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; the folder holds only a part of the data set")
    length = label_bytes + 3 * 32 * 32
    raw = np.fromfile(path, np.uint8)
    if raw.size == 0 or raw.size % length or (labels := raw.reshape(-1, length)[:, label_bytes - 1]).max() >= classes:
        raise UserError(f"{path}: not a CIFAR binary file of {length}-byte records; download it again")
    return raw.reshape(-1, length)[:, label_bytes:].reshape(-1, 3, 32, 32), labels


def svhn(root: Path, download: bool) -> Arrays:
    """Read SVHN by torchvision's reader."""
    return _torchvision("SVHN", root, download)


def mnist(root: Path, download: bool) -> Arrays:
    """Read MNIST from its four IDX files."""
    return _idx("MNIST", root, download, tuple("0123456789"))


def fashion_mnist(root: Path, download: bool) -> Arrays:
    """Read Fashion-MNIST from its four IDX files."""
    return _idx("FashionMNIST", root, download, FASHION)


def _idx(name: str, root: Path, download: bool, classes: tuple[str, ...]) -> Arrays:
    found = find_idx(root, name)
    if found is None and download:
        _torchvision(name, root, download)
        found = find_idx(root, name)
    if found is None:
        raise UserError(_absent(name, root, download, ""))

    def split(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if not len(images) or len(images) != len(labels) or labels.max() >= len(classes):
            raise UserError(f"{labels_path}: not the labels of {images_path.name}; download both again")
        return images[:, None], labels

    (train, train_labels), (test, test_labels) = split(*found[:2]), split(*found[2:])
    if train.shape[1:] != test.shape[1:]:
        raise UserError(f"{found[2]}: images of another size than those of {found[0].name}; download both again")
    return Arrays(train, train_labels, test, test_labels, classes)


def _torchvision(name: str, root: Path, download: bool) -> Arrays:
    """Read a data set by torchvision's reader, which checks its files' MD5 sums."""
    import torchvision.datasets

    options = [{"split": "train"}, {"split": "test"}] if name == "SVHN" else [{"train": True}, {"train": False}]
    splits: list[tuple[np.ndarray, np.ndarray]] = []
    classes: tuple[str, ...] = ()
    for option in options:
        try:
            part = getattr(torchvision.datasets, name)(str(root), **option, download=download)
        except Exception as error:
            reason = " ".join(str(error).split()).partition(" You can use download=True")[0][:120]
            raise UserError(_absent(name, root, download, f" ({reason})")) from None
        images, labels = np.asarray(part.data), getattr(part, "targets", getattr(part, "labels", None))
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[-1] == 3:
            images = images.transpose(0, 3, 1, 2)
        splits.append((np.ascontiguousarray(images), np.asarray(labels)))
        classes = tuple(map(str, getattr(part, "classes", ())))
    (train, train_labels), (test, test_labels) = splits
    return Arrays(train, train_labels, test, test_labels, classes)


def _absent(name: str, root: Path, download: bool, reason: str) -> str:
    """Return the message of a data set that is not there: the files looked for, and how to get them."""
    files = FILES_OF[name]
    if download:
        return f"`data.root` {root}: {name} could not be downloaded{reason}; put {files} there"
    return f"`data.root` {root}: no {name} there{reason}; looked for {files}; set `data.download` to download it"


@dataclass(frozen=True)
class Reader:
    """A reader of arrays: (root, whether to download) -> arrays; and whether it needs a root."""

    read: Callable[[Path, bool], Arrays]
    needs_root: bool = True


READERS: dict[str, Reader] = {
    "digits": Reader(digits, needs_root=False),
    "digits201": Reader(digits201, needs_root=False),
    "mnist": Reader(mnist),
    "fashion_mnist": Reader(fashion_mnist),
    "svhn": Reader(svhn),
    "cifar10": Reader(cifar10),
    "cifar100": Reader(cifar100),
    "npz": Reader(npz),
}
"""Data set -> its reader."""
