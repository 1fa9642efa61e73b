"""Images that lie in one device's memory as they are, one byte a value, and are augmented a batch at a time.

Folders that do not fit into memory are read by worker processes instead (``darts.data.streamed_images``).

Axes: ``n`` image of the split, ``b`` image of the batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from darts.data.augment import Augmentation, Draws, cropped, draw, normalized
from darts.data.dataset import Arrays, DataSet
from darts.data.dense.targets import TARGETS, Target
from darts.data.order import shard
from darts.data.split import HostBatch, Split
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.shapes import ImageShape


@dataclass(frozen=True)
class ResidentImages(Split):
    """A split whose images all lie on one device.

    Attributes:
        images: raw, ``(n, c, h, w)``.
        labels: ``(n,)``, int64; or masks or boxes, as ``target`` says.
        mean, std: of each channel of the training split, in the raw unit, ``(c,)``; their type is the batches'.
        augmentation: of training batches.
        generator: draws the augmentation; on the images' device.
        progress: the share of the training that is over, ``()``, on the images' device; ``begin_epoch`` writes it.
        channels_last: the memory format of batches.
        ranks: the processes that share each batch.
        target: what the labels are, and how they follow the augmentation of the images.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    augmentation: Augmentation
    generator: torch.Generator
    progress: Tensor
    channels_last: bool = True
    ranks: Ranks = SINGLE_PROCESS
    target: Target = TARGETS["class"]

    def __len__(self) -> int:
        return len(self.labels)

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield the indices of each batch, ``(b,)``, on the images' device."""
        yield from ((indices,) for indices in order.to(self.labels.device).split(size)[first:])

    def load(self, *host_batch: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Return this rank's shard of the images ``(b, c, h, w)`` and labels ``(b, ...)`` of these indices."""
        (indices,) = host_batch
        height, width = self.images.shape[2:]
        draws = Draws()
        if training:
            draws = draw(self.augmentation, len(indices), height, width, self.generator, self.progress)
        positions = shard(len(indices), training, self.ranks, indices.device)
        indices, draws = indices[positions], draws.of(positions)
        images = batch_of(self.images, indices, draws, self.mean, self.std, self.channels_last)
        return images, self.target.moved(self.labels[indices], draws, width)

    def begin_epoch(self, progress: float) -> None:
        self.progress.fill_(progress)

    @property
    def generators(self) -> Sequence[torch.Generator]:
        return (self.generator,)

    def state(self) -> dict[str, Tensor]:
        return {"augmentation_generator": self.generator.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.generator.set_state(state["augmentation_generator"])

    def moments(self) -> tuple[list[float], list[float]]:
        return self.mean.tolist(), self.std.tolist()

    def class_labels(self) -> Tensor | None:
        return self.labels.cpu() if self.labels.ndim == 1 else None

    def content(self) -> Tensor:
        return self.images

    def targets(self) -> Tensor:
        return self.labels


def batch_of(
    images: Tensor, indices: Tensor, draws: Draws, mean: Tensor, std: Tensor, channels_last: bool = True
) -> Tensor:
    """Return the images of a batch as a network reads them, ``(b, c, h, w)`` of ``mean``'s type.

    Computed by one kernel on a GPU with Triton; elsewhere by ``cropped`` and ``normalized``, which define it.

    Args:
        images: the data set, ``(n, c, h, w)``, raw.
        indices: of the batch, ``(b,)``.
        draws: the augmentation that was drawn for the batch.
        mean, std: of each channel, in the raw images' unit, ``(c,)``.
        channels_last: the memory format of the result.
    """
    if images.is_cuda and find_spec("triton") is not None:
        from darts.data.augment_kernel import read_batch

        return read_batch(images, indices, draws, mean, std, channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    # contiguous() would leave the strides of images of one channel, from which convolutions read the layout
    return normalized(cropped(images, indices, draws), draws, mean, std).to(memory_format=layout)


def resident(
    name: str,
    arrays: Arrays,
    augmentation: Augmentation,
    generator: torch.Generator,
    channels_last: bool = True,
    dtype: torch.dtype = torch.float32,
    ranks: Ranks = SINGLE_PROCESS,
) -> DataSet:
    """Copy arrays to the generator's device, as a data set whose batches are of this type.

    Raises:
        UserError: where images are not square.
    """
    device = generator.device
    target, labels = TARGETS[arrays.target], (arrays.train_labels, arrays.test_labels)
    mean, std = (torch.from_numpy(moment).to(device, dtype) for moment in statistics(arrays.train_images))

    def split(images: np.ndarray, labels: np.ndarray) -> ResidentImages:
        return ResidentImages(
            images=torch.from_numpy(images).to(device),
            labels=torch.from_numpy(labels.astype(target.dtype)).to(device),
            mean=mean,
            std=std,
            augmentation=augmentation,
            generator=generator,
            progress=torch.zeros((), device=device),
            channels_last=channels_last,
            ranks=ranks,
            target=target,
        )

    _, channels, height, width = arrays.train_images.shape
    classes = arrays.classes or tuple(map(str, range(1 + int(max(part.max() for part in labels)))))
    if height != width:
        raise UserError(f"data set {name}: images are {height}x{width}; square ones are needed")
    train, test = split(arrays.train_images, arrays.train_labels), split(arrays.test_images, arrays.test_labels)
    return DataSet(
        name,
        ImageShape(channels, height, len(classes), arrays.target),
        train,
        test,
        objective=target.objective(len(classes)),
        classes=classes,
        preprocessing=arrays.preprocessing,
        notes=arrays.notes,
    )


def statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel, in float64, ``(c,)``; 1 as the deviation of a constant."""
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
