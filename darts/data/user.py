"""Anyone's own data as splits that a search and a retraining can draw batches from.

Taken are a pair ``(inputs, answers)`` of tensors, a data set of examples by index, a ``DataLoader`` over one, and a
list of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from darts.data.dataset import DeterministicSplit
from darts.errors import UserError


@dataclass(frozen=True)
class Examples(DeterministicSplit):
    """Examples by index, as batches of a loader; see ``darts.data.dataset.Images``.

    Attributes:
        items: examples, or whole batches.
        collate: a list of items -> a batch.
        batch_size: items in a batch, where the user's own loader says so.
        workers: processes that load.
        device: where batches go.
    """

    items: Dataset | Sequence[Any]
    collate: Callable[[list[Any]], Any]
    batch_size: int | None
    workers: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[Any]:
        chunks = [indices.tolist() for indices in order.split(size)[first:]]
        loader = DataLoader(self.items, batch_sampler=chunks, collate_fn=self.collate, num_workers=self.workers)
        for batch in loader:
            yield moved(batch, self.device)

    def picks(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Any]]:
        """Whole batches: the host prepares them."""
        yield from ((batch,) for batch in self.batches(order, size, training, first))

    def load(self, *pick: Any, training: bool) -> Any:
        (batch,) = pick
        return batch


def examples_of(data: Any, device: torch.device) -> Examples:
    """A user's data, whatever its form.

    Raises:
        UserError: where it is of none of the forms that are taken.
    """
    if isinstance(data, tuple) and data and all(isinstance(part, Tensor) for part in data):
        return Examples(TensorDataset(*data), default_collate, None, 0, device)
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset):
        return Examples(data.dataset, data.collate_fn, data.batch_size, data.num_workers, device)
    if isinstance(data, Dataset) and hasattr(data, "__len__"):
        return Examples(data, default_collate, None, 0, device)
    if isinstance(data, list) and data:
        return Examples(data, _only, 1, 0, device)
    kind = type(data).__name__
    taken = "a tuple of tensors, a data set with a length, a DataLoader over one, or a list of batches"
    raise UserError(f"data is a {kind}; taken are {taken} (of a stream: list(stream))")


def _only(items: list[Any]) -> Any:
    return items[0]


def moved(batch: Any, device: torch.device) -> Any:
    """A batch on the device: its tensors, within tuples, lists and mappings."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        parts = [moved(value, device) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
