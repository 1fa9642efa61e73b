"""A split of a data set: examples of any kind, and the batches drawn from them.

A batch is made in two halves. The host prepares what it must (``host_batches``: indices of examples that lie on the
device, or images that worker processes decoded); the device does the rest (``load``: gather, augment, normalize), so
that a captured CUDA graph can hold it.

Axes: ``n`` example of the split, ``b`` example of the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darts.data.order import shuffled

Batch = Any
"""The input of an objective: ``(images, labels)``, ``(tokens, next tokens, continues)``, or of a user's own form."""

HostBatch = tuple[Any, ...]
"""The part of a batch that the host prepares: the arguments of ``Split.load``."""


class Split(ABC):
    """The base class of splits. A split defines ``__len__``, ``host_batches`` and ``load``; all else has a default."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of examples."""

    @abstractmethod
    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield the batches of these examples, as far as the host prepares them.

        Args:
            order: indices of examples, ``(n,)``, on the CPU.
            size: examples of a batch; the last batch may be smaller.
            training: whether to augment.
            first: number of the batch to begin with.
        """

    @abstractmethod
    def load(self, *host_batch: Any, training: bool) -> Batch:
        """Return the batch of what the host prepared, computed by the device alone.

        One of several ranks gets its shard of the batch: of a training batch, one of equal shards; in evaluation the
        examples that no other rank gets, which may be none.
        """

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of these examples; arguments as in ``host_batches``."""
        for host_batch in self.host_batches(order, size, training, first):
            yield self.load(*host_batch, training=training)

    def endless_host_batches(
        self, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0
    ) -> Iterator[HostBatch]:
        """Yield training batches epoch after epoch, each in a new order, from batch number ``first`` on."""
        epoch, first = divmod(first, self.steps(len(indices), size))
        while True:
            yield from self.host_batches(shuffled(indices, seed, epoch, attempt), size, True, first)
            epoch, first = epoch + 1, 0

    def endless_batches(self, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``endless_host_batches``, loaded."""
        for host_batch in self.endless_host_batches(indices, size, seed, first, attempt):
            yield self.load(*host_batch, training=True)

    def steps(self, count: int, size: int, training: bool = True) -> int:
        """Return the number of batches that ``count`` examples make."""
        return -(-count // size)

    def lr_scale(self, host_batch: HostBatch) -> float:
        """Return a training batch's factor on the learning rate: other than 1 where batches are of several lengths."""
        return 1.0

    def begin_epoch(self, progress: float) -> None:
        """Augment as when this share of the training is over; nothing for splits whose augmentation never changes."""
        return

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """The generators that batches are drawn from on the device."""
        return ()

    def state(self) -> dict[str, Tensor]:
        """Return what the next batch depends on, beside its order."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        return

    def moments(self) -> tuple[list[float], list[float]] | None:
        """Return mean and standard deviation of each channel that images were normalized by; None without."""
        return None

    def class_labels(self) -> Tensor | None:
        """Return the labels of all examples, ``(n,)``, int64, on the CPU; None where they are of no classes."""
        return None

    def content(self) -> Tensor:
        """Return values by which the examples are recognized, of any form; empty where they are not known."""
        return torch.empty(0)

    def targets(self) -> Tensor:
        """Return the targets of all examples, of any form; empty where they are not known."""
        labels = self.class_labels()
        return torch.empty(0) if labels is None else labels


@dataclass(frozen=True)
class SplitSubset(Split):
    """Some examples of a split, as a split."""

    split: Split
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        return self.split.host_batches(self.indices[order], size, training, first)

    def load(self, *host_batch: Any, training: bool) -> Batch:
        return self.split.load(*host_batch, training=training)

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[Batch]:
        return self.split.batches(self.indices[order], size, training, first)

    def endless_host_batches(
        self, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0
    ) -> Iterator[HostBatch]:
        return self.split.endless_host_batches(self.indices[indices], size, seed, first, attempt)

    def steps(self, count: int, size: int, training: bool = True) -> int:
        return self.split.steps(count, size, training)

    def lr_scale(self, host_batch: HostBatch) -> float:
        return self.split.lr_scale(host_batch)

    def begin_epoch(self, progress: float) -> None:
        self.split.begin_epoch(progress)

    @property
    def generators(self) -> Sequence[torch.Generator]:
        return self.split.generators

    def state(self) -> dict[str, Tensor]:
        return self.split.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.split.load_state(state)

    def moments(self) -> tuple[list[float], list[float]] | None:
        return self.split.moments()

    def class_labels(self) -> Tensor | None:
        labels = self.split.class_labels()
        return None if labels is None else labels[self.indices]

    def content(self) -> Tensor:
        return self.split.content()

    def targets(self) -> Tensor:
        targets = self.split.targets()
        return targets[self.indices] if len(targets) else targets


def split_search_set(split: Split, train: float, valid: float | None = None) -> tuple[Tensor, Tensor]:
    """Divide a split into the examples that train the weights and those that train the logits.

    Args:
        split: the search set.
        train: share of it that trains the weights: its beginning, as in DARTS.
        valid: share that trains the logits; the rest where not given. Where given, both are shares of each class, or of
            the whole where examples are of no class.

    Returns:
        Indices of both, ``(n_train,)`` and ``(n_valid,)``; where nothing is left for the logits, the first twice.
    """
    if valid is None:
        first, rest = torch.arange(len(split)).tensor_split([int(train * len(split))])
        return first, rest if len(rest) else first
    known = split.class_labels()
    labels = torch.zeros(len(split), dtype=torch.long) if known is None else known
    parts: tuple[list[Tensor], list[Tensor]] = [], []
    for label in labels.unique():
        places = (labels == label).nonzero().flatten()
        end = max(1, round(train * len(places)))
        ends = [end, max(end + 1, round((train + valid) * len(places)))]
        for found, chosen in zip(parts, places.tensor_split(ends)):
            found.append(chosen)
    first, second = (torch.cat(found).sort().values for found in parts)
    return first, second if len(second) else first
