"""Folders of images, one sub-folder for each class: torchvision's ImageFolder layout.

``ROOT/train/<class>/*`` and ``ROOT/test`` (or ``val``) of the same form; or ``ROOT/<class>/*``, of which a fifth is
held out for testing. Small sets are read into memory; large ones stay on disk and worker processes decode, augment
and normalize them the way the field trains on ImageNet.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from darts.data.dataset import HELD_OUT, Arrays, DataSet, DeterministicSplit, part
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.shapes import ImageShape

RESIDENT_BYTES = 2 * 2**30
"""Decoded sets up to this size are kept in memory."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY = {"1", "L", "I", "I;16", "I;16B", "I;16L"}
"""Pillow's modes of images that have one channel of whole numbers, of up to 16 bits."""

TEST_SPLITS = ("test", "val", "valid", "validation")


@dataclass(frozen=True)
class Listing:
    """The files and labels of both splits, ``(path, label)``."""

    classes: tuple[str, ...]
    train: list[tuple[str, int]]
    test: list[tuple[str, int]]


def list_folder(root: Path) -> Listing:
    """Find the images of both splits.

    Raises:
        UserError: where the folder is not of the layout, or its splits disagree about the classes.
    """
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    train_root = root / "train" if (root / "train").is_dir() else root
    train = _image_folder(train_root)
    test_root = next((root / name for name in TEST_SPLITS if (root / name).is_dir()), None)
    if train_root == root or test_root is None:
        order = np.random.default_rng(0).permutation(len(train.samples))
        kept = len(order) - int(HELD_OUT * len(order))
        if kept == len(order):
            raise UserError(f"--data.root {root}: {kept} images are too few to hold some out for testing")
        samples = [train.samples[index] for index in order]
        return Listing(tuple(train.classes), samples[:kept], samples[kept:])
    test = _image_folder(test_root)
    if test.classes != train.classes:
        odd = sorted(set(test.classes) ^ set(train.classes))
        raise UserError(f"--data.root {root}: class {odd[0]!r} is in one of {train_root.name}/, {test_root.name}/ only")
    order = np.random.default_rng(0).permutation(len(train.samples))
    return Listing(tuple(train.classes), [train.samples[index] for index in order], test.samples)


def _image_folder(root: Path) -> ImageFolder:
    try:
        found = ImageFolder(str(root))
    except FileNotFoundError as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"--data.root {root}: one sub-folder of images for each class is needed ({reason})") from None
    if len(found.classes) < 2:
        raise UserError(f"--data.root {root}: one class only, {found.classes[0]!r}; two sub-folders or more are needed")
    return found


def sizes_and_channels(listing: Listing, size: int | None) -> tuple[int, int]:
    """The side to bring images to, and whether they are grey (1) or coloured (3), from a sample of files.

    The side is ``size`` where given; else the images' own where all are squares of one size; else the median of their
    shorter sides.
    """
    sample = listing.train[:500]
    modes, shapes = set(), set()
    for path, _ in sample:
        with _open(path) as image:
            modes.add(image.mode)
            shapes.add(image.size)
    channels = 1 if modes <= GREY else 3
    if size is None:
        shorter = sorted(min(shape) for shape in shapes)
        size = shorter[len(shorter) // 2]
    return size, channels


def fits_memory(root: Path, size: int | None) -> bool:
    """Whether the folder's images, decoded, are small enough to keep."""
    listing = list_folder(root)
    side, channels = sizes_and_channels(listing, size)
    return (len(listing.train) + len(listing.test)) * channels * side * side <= RESIDENT_BYTES


def read_folder(root: Path, size: int | None) -> Arrays:
    """Decode a whole folder. Images that are no squares of the size are resized and cropped to the centre."""
    listing = list_folder(root)
    side, channels = sizes_and_channels(listing, size)
    resize = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])
    splits = []
    for samples in (listing.train, listing.test):
        images = np.empty((len(samples), channels, side, side), np.uint8)
        for index, (path, _) in enumerate(samples):
            with _open(path) as image:
                images[index] = _values(resize(_decoded(image, path, channels)), channels)
        splits += [images, np.array([label for _, label in samples])]
    return Arrays(*splits)


def _open(path: str) -> Image.Image:
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({str(error)[:80]}); replace it or take it away") from None


def _decoded(image: Image.Image, path: str, channels: int) -> Image.Image:
    """The image with 8 bits a channel; of more bits, the highest 8."""
    if image.mode == "F":
        raise UserError(f"{path}: an image of fractions; write the images as arrays and take darts_npz")
    try:
        if image.mode in GREY - {"1", "L"}:
            image = Image.fromarray((np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8))
        return image.convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: a damaged image ({str(error)[:80]}); replace it or take it away") from None


def _values(image: Image.Image, channels: int) -> np.ndarray:
    return np.asarray(image).reshape(image.height, image.width, channels).transpose(2, 0, 1)


@dataclass(frozen=True)
class ImageFiles(DeterministicSplit):
    """A split that stays on disk: decoded, augmented and normalized by worker processes.

    An image's augmentation depends on the epoch's order and its index alone, so that a resumed epoch goes on the same.
    """

    samples: list[tuple[str, int]]
    shape: ImageShape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    workers: int
    channels_last: bool = True
    jitter: bool = True
    ranks: Ranks = SINGLE_PROCESS

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> list[int]:
        """Of all images."""
        return [label for _, label in self.samples]

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.picks(order, size, training, first)

    def load(self, *pick: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        images, labels = pick
        return images, labels

    def picks(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        key = zlib.crc32(order.numpy().tobytes())
        loader = DataLoader(
            _Decoder(self, training, key),
            batch_sampler=[
                indices[part(len(indices), training, self.ranks)].tolist() for indices in order.split(size)[first:]
            ],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if self.workers else None,
        )
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        for images, labels in _mended(loader):
            moved = images.to(self.device, non_blocking=True, memory_format=layout)
            yield moved, labels.to(self.device, non_blocking=True)


def _mended(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """A loader's batches; what a worker process has to complain of is one line, without its traceback."""
    try:
        yield from loader
    except UserError as error:
        raise UserError(str(error).strip().rpartition(f"{UserError.__name__}: ")[2]) from None


class _Decoder(Dataset):
    """One image file after the other as a normalized tensor ``(c, h, w)``."""

    def __init__(self, files: ImageFiles, training: bool, key: int):
        self.files, self.key = files, key
        side = files.shape.size
        geometry: list[v2.Transform] = [v2.Resize(round(side * 256 / 224)), v2.CenterCrop(side)]
        if training:
            geometry = [v2.RandomResizedCrop(side), v2.RandomHorizontalFlip()]
            if files.jitter:
                geometry.append(v2.ColorJitter(0.4, 0.4, 0.4, 0.2 if files.shape.channels == 3 else 0.0))
        normal = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(files.mean, files.std)]
        self.transform = v2.Compose([*geometry, *normal])

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files.samples[index]
        with torch.random.fork_rng(devices=[]), _open(path) as image:
            torch.manual_seed(zlib.crc32(f"{self.key}/{index}".encode()))
            return self.transform(_decoded(image, path, self.files.shape.channels)), label


def stream_folder(
    name: str,
    root: Path,
    size: int | None,
    device: torch.device,
    workers: int,
    channels_last: bool = True,
    ranks: Ranks = SINGLE_PROCESS,
    jitter: bool = True,
) -> DataSet:
    """A folder that stays on disk. Coloured images are normalized by ImageNet's statistics, grey ones by their own
    order of magnitude: both only centre and scale."""
    listing = list_folder(root)
    side, channels = sizes_and_channels(listing, size)
    shape = ImageShape(channels, side, len(listing.classes))
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,), (0.25,))
    train = ImageFiles(listing.train, shape, mean, std, device, workers, channels_last, jitter, ranks)
    return DataSet(name, shape, train, replace(train, samples=listing.test))
