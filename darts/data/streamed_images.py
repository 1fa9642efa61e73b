"""Folders of images that stay on disk: worker processes decode, augment and normalize them, as is usual for ImageNet.

Axes: ``b`` image of the batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from darts.config import DataConfig
from darts.data.dataset import DataSet
from darts.data.folder_layout import Listing
from darts.data.image_decoder import decode
from darts.data.image_folder import ImageForm
from darts.data.order import shard
from darts.data.split import HostBatch, Split
from darts.data.worker_errors import without_traceback
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.shapes import ImageShape

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.5,), (0.25,)


@dataclass(frozen=True)
class StreamedImages(Split):
    """A split that stays on disk.

    An image's augmentation depends on the epoch's order and its index alone, so that a resumed epoch is the same.

    Attributes:
        samples: files and labels, ``(path, label)``.
        shape: of the images after resizing.
        mean, std: of each channel, of values from 0 to 1.
        device: where batches go.
        workers: number of processes that decode.
        channels_last: the memory format of batches.
        bits: used bits of images of more than 8 bits a channel.
        flip: whether half of the training images are mirrored.
        jitter: whether brightness, contrast and colours of training images are varied.
        ranks: the processes that share each batch.
    """

    samples: list[tuple[str, int]]
    shape: ImageShape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    workers: int
    bits: int = 8
    flip: bool = False
    channels_last: bool = True
    jitter: bool = True
    ranks: Ranks = SINGLE_PROCESS

    def __len__(self) -> int:
        return len(self.samples)

    def moments(self) -> tuple[list[float], list[float]]:
        return list(self.mean), list(self.std)

    def class_labels(self) -> Tensor:
        return torch.tensor([label for _, label in self.samples])

    def content(self) -> Tensor:
        """Return a checksum of each file's name; the images themselves are not read for it."""
        return torch.tensor([zlib.crc32(os.path.basename(os.fsencode(path))) for path, _ in self.samples])

    def load(self, *host_batch: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        images, labels = host_batch
        return images, labels

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield this rank's shard of the images ``(b, c, h, w)`` and labels ``(b,)`` of each batch, on the device."""
        key = zlib.crc32(order.numpy().tobytes())
        chunks = order.split(size)[first:]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # whoever gives a number of workers knows
            loader = DataLoader(
                _Decoder(self, training, key),
                batch_sampler=[indices[shard(len(indices), training, self.ranks)].tolist() for indices in chunks],
                num_workers=self.workers,
                pin_memory=self.device.type == "cuda",
                prefetch_factor=4 if self.workers else None,
            )
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        for images, labels in without_traceback(loader):
            images = images.to(self.device, non_blocking=True, memory_format=layout)
            yield images, labels.to(self.device, non_blocking=True)


def evaluated_size(size: int) -> int:
    """Return the shorter side that an image is resized to before the crop that is evaluated: 256 for 224."""
    return round(size * 256 / 224)


class _Decoder(Dataset):
    """The images of a split by index, as normalized tensors ``(c, h, w)``, with their labels."""

    def __init__(self, split: StreamedImages, training: bool, key: int):
        self.split, self.key = split, key
        side = split.shape.size
        geometry: list[v2.Transform] = [v2.Resize(evaluated_size(side)), v2.CenterCrop(side)]
        if training:
            geometry = [v2.RandomResizedCrop(side), *([v2.RandomHorizontalFlip()] if split.flip else [])]
            if split.jitter:
                geometry.append(v2.ColorJitter(0.4, 0.4, 0.4, 0.2 if split.shape.channels == 3 else 0.0))
        normal = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(split.mean, split.std)]
        self.transform = v2.Compose([*geometry, *normal])

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.split.samples[index]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(f"{self.key}/{index}".encode()))
            return self.transform(decode(path, self.split.shape.channels, self.split.bits)), label


def stream_folder(
    config: DataConfig,
    listing: Listing,
    form: ImageForm,
    *,
    device: torch.device,
    channels_last: bool = True,
    ranks: Ranks = SINGLE_PROCESS,
) -> DataSet:
    """Make a data set of a folder that stays on disk.

    Coloured images are normalized by ImageNet's statistics, grey ones by constants of the same order of magnitude: both
    only centre and scale.
    """
    shape = ImageShape(form.channels, form.size, len(listing.classes))
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if form.channels == 3 else (GREY_MEAN, GREY_STD)
    train = StreamedImages(
        listing.train,
        shape,
        mean=mean,
        std=std,
        device=device,
        workers=config.workers,
        bits=form.bits,
        flip=config.flip,
        channels_last=channels_last,
        jitter=config.jitter,
        ranks=ranks,
    )
    resized = evaluated_size(form.size)
    return DataSet(
        config.name,
        shape,
        train,
        replace(train, samples=listing.test),
        classes=listing.classes,
        preprocessing={**form.preprocessing(), "resize_shorter_side": resized, "values": "0 to 1"},
        notes=(*listing.notes, f"read from disk: shorter side resized to {resized}, then the centre cropped"),
    )
