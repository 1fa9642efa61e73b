"""Fingerprints of data sets, models and losses: a run is resumed only with those that it was made with."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import Subset, TensorDataset

from darts.data.dataset import DataSet

SAMPLED = 1 << 16
"""Values of a tensor that are hashed, evenly spaced, where it has more."""


def of_data_set(data: DataSet) -> str:
    """Return sizes and shape of a data set, and a digest of its labels, its vocabulary and its examples.

    Of many examples, ``SAMPLED`` values of each split are in the digest; of images that stay on disk, their names.
    """
    labels = data.train.targets()
    moments = data.train.moments()
    parts = [
        "" if labels.numel() == 0 else _tensor(labels),
        " ".join(f"{value:.4g}" for values in moments or () for value in values),
        *(_tensor(split.content()) for split in (data.train, data.test)),
        *(f"{word} {index}" for word, index in (data.vocabulary or {}).items()),
    ]
    return f"{len(data.train)} and {len(data.test)} examples, {data.shape}, {_digest(parts)}"


def of_model(model: nn.Module) -> str:
    """Return a model's class and a digest of its structure: modules, and names and shapes of its weights."""
    shapes = [f"{name} {_shape(tensor)} {tensor.dtype}" for name, tensor in model.state_dict().items()]
    return f"{type(model).__name__} {_digest([repr(model), *shapes])}"


def _shape(tensor: Tensor) -> tuple[int, ...] | str:
    """Return a tensor's shape; of a lazy layer's weight, which has none yet, a word."""
    return "lazy" if is_lazy(tensor) else tuple(tensor.shape)


def of_data(items: Any) -> str:
    """Return the number of examples, and a digest of those that are tensors in memory.

    Of a data set that loads or draws its examples, only the classes of the data set and the labels are known.
    """
    return f"{len(items)} examples {_digest(_parts(items))}"


def of_loss(loss: Callable[..., Any] | None) -> str:
    """Return the name of a loss function and a digest of its code; ``cross_entropy`` for none."""
    if loss is None:
        return "cross_entropy"
    if isinstance(loss, functools.partial):
        return f"partial of {of_loss(loss.func)}"
    code = getattr(loss, "__code__", None) or getattr(type(loss).__call__, "__code__", None)
    name = getattr(loss, "__qualname__", type(loss).__qualname__).rpartition(".")[2]
    described = [repr(loss)] if isinstance(loss, nn.Module) else []
    return f"{name} {_digest([*described, *(_code(code) if code else ())])}"


def _code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield from map(str, code.co_names)
    for place, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType):
            yield from _code(constant)
        elif isinstance(constant, frozenset):
            yield from sorted(map(repr, constant))
        elif place or not isinstance(constant, str):  # the first text is the docstring
            yield repr(constant)


def _parts(items: Any) -> Iterator[str]:
    yield type(items).__name__
    if isinstance(items, Subset):
        yield from _parts(items.dataset)
        yield _tensor(torch.as_tensor(items.indices))
    elif isinstance(items, TensorDataset):
        yield from map(_tensor, items.tensors)
    elif isinstance(items, list):
        yield from _tensors(items)
    else:
        labels = getattr(items, "targets", getattr(items, "labels", None))
        yield _tensor(labels) if isinstance(labels, Tensor) else repr(labels)[:SAMPLED] if _plain(labels) else ""


def _plain(labels: Any) -> bool:
    return isinstance(labels, list | tuple) and all(isinstance(label, int | float | str) for label in labels[:100])


def _tensors(tree: Any) -> Iterator[str]:
    if isinstance(tree, Tensor):
        yield _tensor(tree)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield str(key)
            yield from _tensors(value)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for value in tree:
            yield from _tensors(value)


def _tensor(tensor: Tensor) -> str:
    flat = tensor.detach().reshape(-1)
    chosen = flat if len(flat) <= SAMPLED else flat[_sampled(len(flat))]
    content = chosen.cpu().contiguous().view(torch.uint8) if len(chosen) else chosen.cpu()
    return f"{tuple(tensor.shape)} {tensor.dtype} {hashlib.sha256(content.numpy().tobytes()).hexdigest()}"


def _sampled(count: int) -> Tensor:
    """Return evenly spaced indices of ``count`` values, ``(SAMPLED,)``; float32 would not tell large ones apart."""
    return torch.linspace(0, count - 1, SAMPLED, dtype=torch.float64).long()


def _digest(parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:12]
