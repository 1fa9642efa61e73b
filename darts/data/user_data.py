"""A user's own data as a split that a search or a retraining draws batches from.

Accepted are a tuple of tensors or arrays such as ``(inputs, targets)``, a map-style ``Dataset``, a ``DataLoader`` over
one, and a list of batches. Random augmentation in a data set is seeded example by example, so that a seed fixes it
whatever the number of worker processes, and wherever a run is resumed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from darts.data.order import shuffled
from darts.data.split import Batch, HostBatch, Split
from darts.data.worker_errors import without_traceback
from darts.errors import UserError

SPLIT_STREAM = 2**29
"""Added to the seed of the order in which a user's examples are divided into both parts of the search set."""


@dataclass(frozen=True)
class UserSplit(Split):
    """Examples by index, collated into batches by a ``DataLoader``.

    Attributes:
        items: examples, or whole batches.
        collate: a list of items -> a batch.
        batch_size: items of a batch, where the user's own loader says so; else None.
        workers: number of processes that load.
        device: where batches go.
        drop_last: whether a training batch that is not full is left out. One of a single example always is, as
            BatchNorm cannot train on it.
        worker_init: called in each worker process with its number.
    """

    items: Dataset | Sequence[Any]
    collate: Callable[[list[Any]], Any]
    batch_size: int | None
    workers: int
    device: torch.device
    drop_last: bool = False
    worker_init: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]  # a map-style data set has a length

    def steps(self, count: int, size: int, training: bool = True) -> int:
        full, rest = divmod(count, size)
        left_out = rest == 0 or (training and full > 0 and (self.drop_last or rest == 1))
        return full if left_out else full + 1

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield whole batches, on the device: the host prepares them."""
        last = self.steps(len(order), size, training)
        chunks = [indices.tolist() for indices in order.split(size)[first:last]]
        items: Any = self.items
        if not isinstance(items, TensorDataset | list):
            seed = int.from_bytes(hashlib.sha256(order.numpy().tobytes()).digest()[:6], "big")
            items = _SeededItems(items, seed)
        loader: DataLoader = DataLoader(
            items,
            batch_sampler=chunks,
            collate_fn=self.collate,
            num_workers=self.workers,
            worker_init_fn=self.worker_init,
            generator=torch.Generator(),  # so that loading draws nothing from the global generator
        )
        for batch in without_traceback(loader):
            yield (to_device(batch, self.device),)

    def load(self, *host_batch: Any, training: bool) -> Batch:
        (batch,) = host_batch
        return batch

    def class_labels(self) -> Tensor | None:
        return _labels(self.items)


@dataclass(frozen=True)
class _SeededItems(Dataset):
    """A data set whose random draws for an example depend on a seed and the example's index alone."""

    items: Any
    seed: int

    def __getitem__(self, index: int) -> Any:
        with seeded((self.seed, index)):
            return self.items[index]


@contextmanager
def seeded(entropy: Sequence[int]) -> Iterator[None]:
    """Seed the global generators of PyTorch (on the CPU), NumPy and Python; afterwards give them back their states."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    first, second = np.random.SeedSequence(entropy).generate_state(2).tolist()
    torch.default_generator.manual_seed(first + 2**32 * second)
    np.random.seed(first)
    random.seed(first)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


def user_split(data: Any, device: torch.device) -> UserSplit:
    """Make a split of a user's data.

    Raises:
        UserError: where it is of none of the accepted forms, or holds nothing.
    """
    if isinstance(data, tuple) and data and all(isinstance(part, Tensor | np.ndarray) for part in data):
        data = tuple(map(_as_tensor, data))
        lengths = [len(part) if part.ndim else None for part in data]
        if len(set(lengths)) > 1 or lengths[0] is None:
            raise UserError(
                f"`data` has tensors of {', '.join(map(str, lengths))} examples; they must be of one length"
            )
        split = UserSplit(TensorDataset(*data), default_collate, batch_size=None, workers=0, device=device)
    elif isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset):
        split = _from_loader(data, device)
    elif isinstance(data, Dataset) and not isinstance(data, IterableDataset) and hasattr(data, "__len__"):
        split = UserSplit(data, default_collate, batch_size=None, workers=0, device=device)
    elif isinstance(data, list) and data:
        split = UserSplit(data, _only, batch_size=1, workers=0, device=device)
    else:
        kind = type(data).__name__
        accepted = "a tuple of tensors or arrays, a data set with a length, a DataLoader over one, or a list of batches"
        raise UserError(f"`data` is a {kind}; accepted are {accepted} (of a stream: list(stream))")
    if len(split) == 0:
        raise UserError("`data` holds no examples")
    return split


def _as_tensor(part: Tensor | np.ndarray) -> Tensor:
    """Return an array as a tensor; of double precision as single, as networks compute.

    Raises:
        UserError: where it holds objects or text.
    """
    if isinstance(part, Tensor):
        return part
    try:
        tensor = torch.from_numpy(np.ascontiguousarray(part))
    except TypeError:
        raise UserError(f"`data` has an array of {part.dtype}; arrays must hold numbers") from None
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _from_loader(loader: DataLoader, device: torch.device) -> UserSplit:
    """Return a split of the examples that a loader draws in an epoch, in batches as it makes them.

    Raises:
        UserError: where it draws them in a way that cannot be followed: the order is drawn here, from the run's seed.
    """
    split = UserSplit(
        loader.dataset, loader.collate_fn, loader.batch_size, loader.num_workers, device, bool(loader.drop_last)
    )
    split = replace(split, worker_init=loader.worker_init_fn)
    sampler, batches = loader.sampler, loader.batch_sampler
    if batches is None:  # automatic batching is off: the data set holds whole batches
        collate = loader.collate_fn
        split = replace(split, batch_size=1, collate=lambda items: collate(items[0]))
    elif type(batches) is BatchSampler:
        split = replace(split, batch_size=batches.batch_size, drop_last=batches.drop_last)
        sampler = batches.sampler
    else:
        _refuse(type(batches).__name__, "batch_sampler")
    if type(sampler) is SubsetRandomSampler:
        return replace(split, items=Subset(loader.dataset, list(sampler.indices)))
    if type(sampler) is RandomSampler:
        if sampler.replacement or sampler.num_samples != len(split):
            _refuse("RandomSampler with replacement or a number of samples", "sampler")
    elif type(sampler) is not SequentialSampler:
        _refuse(type(sampler).__name__, "sampler")
    return split


def mixed_order(examples: UserSplit, seed: int) -> Tensor:
    """Return all indices, ``(n,)``, shuffled so that each class is spread evenly over them, where classes are known.

    Any beginning of them then has the classes of the whole, up to one example of each: also of data that are sorted by
    class.
    """
    order = shuffled(torch.arange(len(examples)), seed + SPLIT_STREAM, 0)
    labels = examples.class_labels()
    if labels is None:
        return order
    labels = labels[order]
    place = torch.empty(len(order), dtype=torch.float64)
    for label in labels.unique():
        of_class = (labels == label).nonzero().flatten()
        place[of_class] = (torch.arange(len(of_class)).double() + 0.5) / len(of_class)
    return order[place.argsort(stable=True)]


def divided(split: UserSplit, valid: float, seed: int) -> tuple[UserSplit, UserSplit]:
    """Divide a split into a training and a validation part, in which classes are spread evenly where they are known.

    Args:
        valid: share of the validation part.

    Raises:
        UserError: where one of them is left without examples.
    """
    order = mixed_order(split, seed).tolist()
    count = round(valid * len(order))
    if not 0 < count < len(order):
        raise UserError(f"`data` has {len(order)} examples, too few to hold {valid:g} of them out for validation")
    parts = order[count:], order[:count]
    first, second = (replace(split, items=Subset(split.items, indices)) for indices in parts)  # type: ignore[arg-type]
    return first, second


def _refuse(found: str, argument: str) -> None:
    raise UserError(
        f"`data` is a DataLoader with the {argument} {found}, whose draws cannot be followed; give it a "
        "torch.utils.data.Subset of the examples, with shuffle=True"
    )


def _labels(items: Any) -> Tensor | None:
    """Return the class of each example, ``(n,)``, int64, where the data set says so without loading examples."""
    if isinstance(items, Subset):
        labels = _labels(items.dataset)
        return None if labels is None else labels[torch.as_tensor(items.indices)]
    if isinstance(items, TensorDataset):
        found: Any = items.tensors[-1]
    else:
        found = getattr(items, "targets", getattr(items, "labels", None))
    try:
        labels = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError):
        return None
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or len(labels) != len(items):
        return None
    return labels.long().cpu()


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
