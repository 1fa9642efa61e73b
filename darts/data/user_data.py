"""A user's own data as a split that a search or a retraining draws batches from.

Accepted are a tuple of tensors such as ``(inputs, targets)``, a map-style ``Dataset``, a ``DataLoader`` over one, and a
list of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from darts.data.split import Batch, HostBatch, Split
from darts.errors import UserError


@dataclass(frozen=True)
class UserSplit(Split):
    """Examples by index, collated into batches by a ``DataLoader``.

    Attributes:
        items: examples, or whole batches.
        collate: a list of items -> a batch.
        batch_size: items of a batch, where the user's own loader says so; else None.
        workers: number of processes that load.
        device: where batches go.
    """

    items: Dataset | Sequence[Any]
    collate: Callable[[list[Any]], Any]
    batch_size: int | None
    workers: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]  # a map-style data set has a length

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield whole batches, on the device: the host prepares them."""
        chunks = [indices.tolist() for indices in order.split(size)[first:]]
        items: Any = self.items
        loader = DataLoader(items, batch_sampler=chunks, collate_fn=self.collate, num_workers=self.workers)
        for batch in loader:
            yield (to_device(batch, self.device),)

    def load(self, *host_batch: Any, training: bool) -> Batch:
        (batch,) = host_batch
        return batch


def user_split(data: Any, device: torch.device) -> UserSplit:
    """Make a split of a user's data.

    Raises:
        UserError: where it is of none of the accepted forms.
    """
    if isinstance(data, tuple) and data and all(isinstance(part, Tensor) for part in data):
        return UserSplit(TensorDataset(*data), default_collate, batch_size=None, workers=0, device=device)
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset):
        return UserSplit(data.dataset, data.collate_fn, data.batch_size, data.num_workers, device)
    if isinstance(data, Dataset) and hasattr(data, "__len__"):
        return UserSplit(data, default_collate, batch_size=None, workers=0, device=device)
    if isinstance(data, list) and data:
        return UserSplit(data, _only, batch_size=1, workers=0, device=device)
    kind = type(data).__name__
    accepted = "a tuple of tensors, a data set with a length, a DataLoader over one, or a list of batches"
    raise UserError(f"`data` is a {kind}; accepted are {accepted} (of a stream: list(stream))")


def _only(items: list[Any]) -> Any:
    return items[0]


def to_device(batch: Any, device: torch.device) -> Any:
    """Return a batch whose tensors, within tuples, lists and mappings, are on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        parts = [to_device(value, device) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
