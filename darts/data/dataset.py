"""Data sets as raw tensors on the device that trains, and the batches drawn from them.

Everything about a data set is found out from its files: channels, size, classes, mean and standard deviation.
Images that fit into memory are kept there as they are (one byte a value) and augmented a batch at a time;
folders that do not fit are read by worker processes (``darts.data.image_folder``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from darts.data.augment import Augmentation, Draws, draw, moved, normalized
from darts.training.distributed import SINGLE_PROCESS, Ranks
from darts.errors import UserError
from supernet.network import ImageShape

if TYPE_CHECKING:
    from darts.training.objective import Objective

HELD_OUT = 0.2
"""Share of the examples kept for testing where a data set has no test split of its own."""


class Images(Protocol):
    """A split of a data set. ``mean`` and ``std`` are those of each channel that batches were normalized by, ``labels``
    those of all examples in order."""

    mean: Tensor | tuple[float, ...]
    std: Tensor | tuple[float, ...]
    labels: Tensor | list[int]

    def __len__(self) -> int: ...

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalized images ``(b, c, h, w)`` and labels ``(b,)`` in the given order of examples.

        Args:
            order: indices of examples, ``(n,)``, on the CPU.
            size: examples a batch; the last batch may be smaller.
            training: whether to augment.
            first: the number of the batch to begin with.

        One of several ranks gets its share of each batch: of a training batch, one of equal shares; else what
        no other rank gets, which may be nothing.
        """

    def picks(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """The same batches as far as the host must prepare them."""

    def load(self, *pick: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """The batch of a pick, by the device alone."""

    def begin_epoch(self, progress: float) -> None:
        """From now on augment as when this share of the training is over."""

    def state(self) -> dict[str, Tensor]:
        """What the next batch depends on, beside its order."""

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """What batches are drawn from on the device."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to that state."""


class DeterministicSplit:
    """A split whose batches depend on their order alone: nothing is drawn for them on the device."""

    def begin_epoch(self, progress: float) -> None:
        """Nothing changes."""

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """None."""
        return ()

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to go back to."""


@dataclass(frozen=True)
class DataSet:
    """Training and test split, and what a network must know of them.

    Attributes:
        shape: of examples and answers.
        valid: so many of the last examples of ``train`` are a validation part of the data set's own.
        objective: what is minimized; classification where not given.
        vocabulary: number of each word, where examples are words.
    """

    name: str
    shape: Any
    train: Images
    test: Images
    valid: int = 0
    objective: Objective | None = None
    vocabulary: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Arrays:
    """A data set as it was read: images ``(n, c, h, w)``, labels ``(n,)`` from 0 up."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def hold_out(images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Examples in a fixed random order, the last fifth as the test split.

    Raises:
        UserError: where that is none.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    kept = len(labels) - int(HELD_OUT * len(labels))
    if kept == len(labels):
        raise UserError(f"{kept} images are too few to hold some out for testing")
    return Arrays(images[order[:kept]], labels[order[:kept]], images[order[kept:]], labels[order[kept:]])


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
        ranks: who computes on a share of each batch.
        progress: the share of the training that is over, ``()``; on the images' device.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    augmentation: Augmentation
    generator: torch.Generator
    channels_last: bool = True
    ranks: Ranks = SINGLE_PROCESS
    progress: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "progress", torch.zeros((), device=self.images.device))

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for pick in self.picks(order, size, training, first):
            yield self.load(*pick, training=training)

    def picks(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """The indices of each batch, ``(b,)``, on the images' device."""
        yield from ((indices,) for indices in order.to(self.labels.device).split(size)[first:])

    def load(self, *pick: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """This rank's share of the batch of these indices."""
        (indices,) = pick
        height, width = self.images.shape[2:]
        drawn = self.augmentation, len(indices), height, width, self.generator, self.progress
        draws = draw(*drawn) if training else Draws()
        share = part(len(indices), training, self.ranks, indices.device)
        indices, draws = indices[share], draws.of(share)
        images = batch_of(self.images, indices, draws, self.mean, self.std, self.channels_last)
        return images, self.labels[indices]

    def begin_epoch(self, progress: float) -> None:
        self.progress.fill_(progress)

    @property
    def generators(self) -> Sequence[torch.Generator]:
        return (self.generator,)

    def state(self) -> dict[str, Tensor]:
        return {"augmentation_generator": self.generator.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.generator.set_state(state["augmentation_generator"])


def batch_of(
    images: Tensor, indices: Tensor, draws: Draws, mean: Tensor, std: Tensor, channels_last: bool = True
) -> Tensor:
    """The images of a batch as a network reads them, ``(b, c, h, w)`` of ``mean``'s type.

    On a GPU one kernel, where Triton is there; elsewhere ``moved`` and ``normalized``, which define it.

    Args:
        images: the data set, ``(n, c, h, w)``, raw.
        indices: of the batch, ``(b,)``.
        mean, std: of each channel, in the raw images' unit, ``(c,)``.
        channels_last: the memory format of the result.
    """
    if images.is_cuda and find_spec("triton") is not None:
        from darts.data.augment_kernel import read_batch

        return read_batch(images, indices, draws, mean, std, channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return normalized(moved(images, indices, draws), draws, mean, std).contiguous(memory_format=layout)


def part(size: int, training: bool, ranks: Ranks, device: torch.device | None = None) -> Tensor | slice:
    """The places of a batch of ``size`` examples that this rank gets."""
    if ranks.count == 1:
        return slice(None)
    if training:
        return ranks.share(size, device)
    return torch.arange(size, device=device).tensor_split(ranks.count)[ranks.rank]


def resident(
    name: str,
    arrays: Arrays,
    augmentation: Augmentation,
    generator: torch.Generator,
    channels_last: bool = True,
    dtype: torch.dtype = torch.float32,
    ranks: Ranks = SINGLE_PROCESS,
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
        splits.append(ResidentImages(*tensors, *moments, augmentation, generator, channels_last, ranks))
    _, channels, height, width = arrays.train_images.shape
    classes = 1 + int(max(arrays.train_labels.max(), arrays.test_labels.max()))
    if height != width:
        raise UserError(f"data set {name}: images are {height}x{width}; square ones are needed")
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


def split_search_set(images: Images, train: float, valid: float | None = None) -> tuple[Tensor, Tensor]:
    """The examples that train the weights and those that train the logits, by their places in the split.

    Args:
        images: a split.
        train: share of the split that trains the weights: its beginning, as in DARTS.
        valid: share that trains the logits; the rest where not given. Where given, both are shares of each class.

    Returns:
        Both; where nothing is left for the logits, the same twice.
    """
    if valid is None:
        first, rest = torch.arange(len(images)).tensor_split([int(train * len(images))])
        return first, rest if len(rest) else first
    labels = torch.as_tensor(images.labels, device="cpu")
    parts: tuple[list[Tensor], list[Tensor]] = [], []
    for label in labels.unique():
        places = (labels == label).nonzero().flatten()
        end = max(1, round(train * len(places)))
        ends = end, max(end + 1, round((train + valid) * len(places)))
        for part, found in zip(parts, places.tensor_split(ends)):
            part.append(found)
    first, second = (torch.cat(part).sort().values for part in parts)
    return first, second if len(second) else first


def shuffled(indices: Tensor, seed: int, epoch: int, attempt: int = 0) -> Tensor:
    """The order of an epoch: a permutation that depends on seed and epoch alone; and on how often a run went back."""
    entropy = (seed, epoch, attempt) if attempt else (seed, epoch)
    generator = torch.Generator().manual_seed(np.random.SeedSequence(entropy).generate_state(1).item())
    return indices[torch.randperm(len(indices), generator=generator)]


def endless(
    images: Images, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches epoch after epoch, each in a new order, from batch number ``first`` on."""
    for pick in endless_picks(images, indices, size, seed, first, attempt):
        yield images.load(*pick, training=True)


def endless_picks(
    images: Images, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0
) -> Iterator[tuple[Tensor, ...]]:
    """What the endless batches are loaded from. A split whose examples follow each other orders them itself."""
    if hasattr(images, "endless_picks"):
        yield from images.endless_picks(indices, size, seed, first, attempt)
        return
    each = steps(images, len(indices), size)
    epoch, first = divmod(first, each)
    while True:
        yield from images.picks(shuffled(indices, seed, epoch, attempt), size, True, first)
        epoch, first = epoch + 1, 0


def steps(images: Images, count: int, size: int, training: bool = True) -> int:
    """Batches that so many examples of a split make."""
    return images.steps(count, size, training) if hasattr(images, "steps") else -(-count // size)


def lr_scale(images: Images, pick: tuple[Tensor, ...]) -> float:
    """Factor of a training batch on the learning rate: other than 1 where batches are of several lengths."""
    return images.lr_scale(pick) if hasattr(images, "lr_scale") else 1.0
