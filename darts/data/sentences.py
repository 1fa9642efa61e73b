"""Sentences with labels, from any CSV file of two columns, as tensors of token indices on the device that trains.

Axes: ``n`` sentence, ``t`` token.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from darts.data.dataset import HELD_OUT, DataSet
from darts.data.order import shard
from darts.data.split import HostBatch, Split
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.shapes import TextShape

PADDING, UNKNOWN = 0, 1
"""Indices of the padding after a sentence and of words outside the vocabulary."""

MAX_WORDS, MAX_LENGTH = 20_000, 256
"""Rarer words are unknown; longer sentences are cut."""


@dataclass(frozen=True)
class Sentences(Split):
    """A split held on one device: tokens ``(n, t)``, labels ``(n,)``, both int64; ``ranks`` share each batch."""

    tokens: Tensor
    labels: Tensor
    ranks: Ranks = SINGLE_PROCESS

    def __len__(self) -> int:
        return len(self.labels)

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield the indices of each batch, ``(b,)``, on the sentences' device."""
        yield from ((indices,) for indices in order.to(self.labels.device).split(size)[first:])

    def load(self, *host_batch: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Return this rank's shard of the sentences ``(b, t)`` and labels ``(b,)`` of these indices."""
        (indices,) = host_batch
        indices = indices[shard(len(indices), training, self.ranks, indices.device)]
        return self.tokens[indices], self.labels[indices]

    def class_labels(self) -> Tensor:
        return self.labels.cpu()


def read_sentences(path: Path, device: torch.device, ranks: Ranks = SINGLE_PROCESS) -> DataSet:
    """Read a CSV file of sentences and labels, and hold out a fifth of it, in a fixed random order, for testing.

    The label column is the one with fewer different values. A first line that names the columns is left out if its
    label occurs nowhere else. Tokens are runs of letters and digits, in lower case, and single other signs.

    Raises:
        UserError: naming the file and row where it is no such file.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"`data.root` {path}: not a readable CSV file ({str(error)[:80]})") from None
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise UserError(f"`data.root` {path}, row {number}: {len(row)} columns; two are needed, sentence and label")
    columns = list(zip(*rows))
    if len(rows) < 10:
        raise UserError(f"`data.root` {path}: {len(rows)} rows are too few to learn from and hold some out")
    labels, texts = sorted(columns, key=lambda column: len(set(column)))
    if labels.count(labels[0]) == 1:
        labels, texts = labels[1:], texts[1:]
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise UserError(f"`data.root` {path}: one label only, {classes[0]!r}")
    sentences = [_tokens(text) for text in texts]
    order = np.random.default_rng(0).permutation(len(labels))
    kept = len(order) - int(HELD_OUT * len(order))
    counts = Counter(word for index in order[:kept] for word in sentences[index])
    vocabulary = {word: k for k, (word, _) in enumerate(counts.most_common(MAX_WORDS), UNKNOWN + 1)}
    length = min(MAX_LENGTH, max(map(len, sentences)))
    tokens = torch.full((len(labels), length), PADDING)
    for position, index in enumerate(order):
        found = [vocabulary.get(word, UNKNOWN) for word in sentences[index][:length]]
        tokens[position, : len(found)] = torch.tensor(found)
    targets = torch.tensor([classes.index(labels[index]) for index in order])
    train, test = (
        Sentences(tokens[part].to(device), targets[part].to(device), ranks) for part in (slice(kept), slice(kept, None))
    )
    shape = TextShape(len(vocabulary) + UNKNOWN + 1, length, len(classes))
    return DataSet("csv", shape, train, test, vocabulary=vocabulary)


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower()) or [""]
