"""Data sets as raw tensors on the device that trains, and the batches drawn from them.

Everything about a data set is found out from its files: channels, size, classes, mean and standard deviation.
Images that fit into memory are kept there as they are (one byte a value) and augmented a batch at a time;
folders that do not fit are read by worker processes (``darts.files``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from darts.augment import Augmentation, augment
from darts.errors import UserError
from supernet.network import ImageShape

HELD_OUT = 0.2
"""Share of the examples kept for testing where a data set has no test split of its own."""


class Images(Protocol):
    """A split of a data set."""

    def __len__(self) -> int: ...

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalized images ``(b, c, h, w)`` and labels ``(b,)`` in the given order of examples.

        Args:
            order: indices of examples, ``(n,)``, on the CPU.
            size: examples a batch; the last batch may be smaller.
            training: whether to augment.
            first: the number of the batch to begin with.
        """

    def state(self) -> dict[str, Tensor]:
        """What the next batch depends on, beside its order."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to that state."""


@dataclass(frozen=True)
class DataSet:
    """Training and test split, and what a network must know of them."""

    name: str
    shape: ImageShape
    train: Images
    test: Images


@dataclass(frozen=True)
class Arrays:
    """A data set as it was read: images ``(n, c, h, w)``, labels ``(n,)`` from 0 up."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True)
class ResidentImages:
    """Images held whole on one device.

    Attributes:
        images: raw, ``(n, c, h, w)``.
        labels: ``(n,)``, int64.
        mean, std: of each channel of the training split, in the raw unit, ``(c,)``; their type is the batches'.
        augmentation: of training batches.
        generator: draws the augmentation; on the images' device.
        channels_last: the memory format of batches.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    augmentation: Augmentation
    generator: torch.Generator
    channels_last: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        policy = self.augmentation if training else None
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        for indices in order.to(self.labels.device).split(size)[first:]:
            images = augment(self.images[indices], policy, self.mean, self.std, self.generator)
            yield images.contiguous(memory_format=layout), self.labels[indices]

    def state(self) -> dict[str, Tensor]:
        return {"augmentation_generator": self.generator.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.generator.set_state(state["augmentation_generator"])


def resident(
    name: str,
    arrays: Arrays,
    augmentation: Augmentation,
    generator: torch.Generator,
    channels_last: bool = True,
    dtype: torch.dtype = torch.float32,
) -> DataSet:
    """A data set on the generator's device."""
    device = generator.device
    mean, std = statistics(arrays.train_images)
    moments = [torch.from_numpy(m).to(device, dtype) for m in (mean, std)]
    splits = []
    for images, labels in (
        (arrays.train_images, arrays.train_labels),
        (arrays.test_images, arrays.test_labels),
    ):
        tensors = torch.from_numpy(images).to(device), torch.from_numpy(labels.astype(np.int64)).to(device)
        splits.append(ResidentImages(*tensors, *moments, augmentation, generator, channels_last))
    _, channels, height, width = arrays.train_images.shape
    classes = 1 + int(max(arrays.train_labels.max(), arrays.test_labels.max()))
    if height != width:
        raise UserError(f"data set {name}: images are {height}x{width}; square ones are needed, set --data.size")
    return DataSet(name, ImageShape(channels, height, classes), *splits)


def statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, in float64, ``(c,)``; a constant channel's deviation is 1."""
    total = np.zeros(images.shape[1])
    squares = np.zeros(images.shape[1])
    for chunk in np.array_split(images, max(1, len(images) // 5000)):
        values = chunk.astype(np.float64)
        total += values.sum((0, 2, 3))
        squares += np.square(values).sum((0, 2, 3))
    count = images.size / images.shape[1]
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean, np.where(std > 0, std, 1)


def shuffled(indices: Tensor, seed: int, epoch: int) -> Tensor:
    """The order of an epoch: a permutation that depends on seed and epoch alone."""
    generator = torch.Generator().manual_seed(np.random.SeedSequence((seed, epoch)).generate_state(1).item())
    return indices[torch.randperm(len(indices), generator=generator)]


def endless(images: Images, indices: Tensor, size: int, seed: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches epoch after epoch, each in a new order, from batch number ``first`` on."""
    each = -(-len(indices) // size)
    epoch, first = divmod(first, each)
    while True:
        yield from images.batches(shuffled(indices, seed, epoch), size, True, first)
        epoch, first = epoch + 1, 0


def read(name: str, root: Path | None, size: int | None, download: bool) -> Arrays:
    """Read a data set that fits into memory.

    Raises:
        UserError: where the root is missing or holds something else.
    """
    if name == "digits":
        return digits()
    if root is None:
        raise UserError(f"data set {name} needs its folder: set --data.root")
    if not download and not root.exists():
        raise UserError(f"--data.root {root}: no such file or folder")
    if name in READERS:
        return READERS[name](root, download)
    if name == "npz":
        return npz(root)
    from darts.files import read_folder

    return read_folder(root, size)


def digits() -> Arrays:
    """scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels, a fifth held out, balanced over classes."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    split = train_test_split(images, labels, test_size=HELD_OUT, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = split
    return Arrays(train_images, train_labels, test_images, test_labels)


def cifar10(root: Path, download: bool) -> Arrays:
    """CIFAR-10: the official binary version (no pickle in it) or torchvision's files."""
    folder = _holding(root, "cifar-10-batches-bin", "data_batch_1.bin")
    if folder is None:
        return _torchvision("CIFAR10", root, download)
    parts = [_records(folder / f"data_batch_{k}.bin", 1, 10) for k in range(1, 6)]
    train = [np.concatenate(arrays) for arrays in zip(*parts)]
    return Arrays(*train, *_records(folder / "test_batch.bin", 1, 10))


def cifar100(root: Path, download: bool) -> Arrays:
    """CIFAR-100 with its fine labels: the official binary version or torchvision's files."""
    folder = _holding(root, "cifar-100-binary", "train.bin")
    if folder is None:
        return _torchvision("CIFAR100", root, download)
    return Arrays(*_records(folder / "train.bin", 2, 100), *_records(folder / "test.bin", 2, 100))


def _holding(root: Path, folder: str, file: str) -> Path | None:
    return next((path for path in (root / folder, root) if (path / file).is_file()), None)


def _records(path: Path, label_bytes: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The official CIFAR binary format: for each image its labels, the finest last, then 3x32x32 bytes."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; the folder holds only a part of the data set")
    length = label_bytes + 3 * 32 * 32
    raw = np.fromfile(path, np.uint8)
    if raw.size == 0 or raw.size % length or (labels := raw.reshape(-1, length)[:, label_bytes - 1]).max() >= classes:
        raise UserError(f"{path}: not a CIFAR binary file of {length}-byte records; get it again")
    return raw.reshape(-1, length)[:, label_bytes:].reshape(-1, 3, 32, 32), labels


def _torchvision(name: str, root: Path, download: bool) -> Arrays:
    """A data set by torchvision's reader, which checks its files' MD5 sums."""
    import torchvision.datasets

    options = [{"split": "train"}, {"split": "test"}] if name == "SVHN" else [{"train": True}, {"train": False}]
    arrays = []
    for option in options:
        try:
            part = getattr(torchvision.datasets, name)(str(root), **option, download=download)
        except Exception as error:
            reason = str(error).splitlines()[0][:120]
            raise UserError(
                f"--data.root {root}: {name} could not be read ({reason}); --data.download gets it"
            ) from None
        images, labels = part.data, getattr(part, "targets", getattr(part, "labels", None))
        images = np.asarray(images)
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[-1] == 3:
            images = images.transpose(0, 3, 1, 2)
        arrays += [np.ascontiguousarray(images), np.asarray(labels)]
    return Arrays(*arrays)


READERS: dict[str, Callable[[Path, bool], Arrays]] = {
    "mnist": lambda root, download: _torchvision("MNIST", root, download),
    "fashion_mnist": lambda root, download: _torchvision("FashionMNIST", root, download),
    "svhn": lambda root, download: _torchvision("SVHN", root, download),
    "cifar10": cifar10,
    "cifar100": cifar100,
}

NPZ_KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels"),
    ("x", "y"),
    ("X", "y"),
)


def npz(path: Path) -> Arrays:
    """Arrays from a ``.npz`` file: images of any layout and type, labels of any kind.

    Keys are those of ``NPZ_KEYS``; without a test split, a fifth of the examples is held out.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {key: file[key] for key in file.files}
    except Exception as error:
        raise UserError(f"--data.root {path}: not a readable .npz file of plain arrays ({str(error)[:80]})") from None
    keys = next((keys for keys in NPZ_KEYS if set(keys) <= set(content)), None)
    if keys is None:
        wanted = " or ".join("/".join(keys) for keys in NPZ_KEYS)
        raise UserError(f"--data.root {path}: holds {', '.join(sorted(content)) or 'nothing'}; wanted are {wanted}")
    images, labels = [content[key] for key in keys[::2]], [content[key].reshape(-1) for key in keys[1::2]]
    for key, x, y in zip(keys[::2], images, labels):
        if x.ndim not in (3, 4) or len(x) != len(y) or len(x) == 0 or x.dtype.kind not in "uif":
            raise UserError(
                f"--data.root {path}: {key} has shape {x.shape}, type {x.dtype}, {len(y)} labels; not images"
            )
    _, numbers = np.unique(np.concatenate(labels), return_inverse=True)
    labels = np.split(numbers.reshape(-1), np.cumsum([len(y) for y in labels])[:-1])
    images = [_channels_first(x) for x in images]
    if len(images) == 1:
        return hold_out(images[0], labels[0])
    order = np.random.default_rng(0).permutation(len(labels[0]))
    return Arrays(images[0][order], labels[0][order], images[1], labels[1])


def _channels_first(images: np.ndarray) -> np.ndarray:
    """``(n, h, w)`` or ``(n, h, w, c)`` as ``(n, c, h, w)``; 8-bit values stay, others become float32."""
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, np.uint8 if images.dtype == np.uint8 else np.float32)


def hold_out(images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Examples in a fixed random order, the last fifth as the test split."""
    order = np.random.default_rng(0).permutation(len(labels))
    kept = len(labels) - int(HELD_OUT * len(labels))
    return Arrays(images[order[:kept]], labels[order[:kept]], images[order[kept:]], labels[order[kept:]])
