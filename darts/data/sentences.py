"""Sentences and their labels, from any CSV file of two columns: tensors of word numbers on the device that trains."""

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

from darts.data.dataset import HELD_OUT, DataSet, DeterministicSplit, part
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.shapes import TextShape

PADDING, UNKNOWN = 0, 1
"""Numbers of what is no word, and of words outside the vocabulary."""

MAX_WORDS, MAX_LENGTH = 20_000, 256
"""Rarer words are unknown; longer sentences are cut."""


@dataclass(frozen=True)
class Sentences(DeterministicSplit):
    """A split held on one device: words ``(n, t)``, labels ``(n,)``, both int64; ``ranks`` share each batch."""

    words: Tensor
    labels: Tensor
    ranks: Ranks = SINGLE_PROCESS

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for pick in self.picks(order, size, training, first):
            yield self.load(*pick, training=training)

    def picks(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, ...]]:
        yield from ((indices,) for indices in order.to(self.labels.device).split(size)[first:])

    def load(self, *pick: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """This rank's share of the sentences of these indices."""
        (indices,) = pick
        indices = indices[part(len(indices), training, self.ranks, indices.device)]
        return self.words[indices], self.labels[indices]


def read_sentences(path: Path, device: torch.device, ranks: Ranks = SINGLE_PROCESS) -> DataSet:
    """A CSV file of sentences and labels, with a fifth of it, in a fixed random order, held out for testing.

    Which of the two columns holds labels is found out: the one of fewer different values. A first line that names the
    columns is left out if its label occurs nowhere else. Words are runs of letters and digits, in lower case, and
    single other signs.

    Raises:
        UserError: naming the file and line where it is no such file.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--data.root {path}: not a readable CSV file ({str(error)[:80]})") from None
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise UserError(f"--data.root {path}, row {number}: {len(row)} columns; two are needed, sentence and label")
    columns = list(zip(*rows))
    if len(rows) < 10:
        raise UserError(f"--data.root {path}: {len(rows)} rows are too few to learn from and hold some out")
    labels, texts = sorted(columns, key=lambda column: len(set(column)))
    if labels.count(labels[0]) == 1:
        labels, texts = labels[1:], texts[1:]
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise UserError(f"--data.root {path}: one label only, {classes[0]!r}")
    sentences = [_split(text) for text in texts]
    order = np.random.default_rng(0).permutation(len(labels))
    kept = len(order) - int(HELD_OUT * len(order))
    counts = Counter(word for index in order[:kept] for word in sentences[index])
    numbers = {word: k for k, (word, _) in enumerate(counts.most_common(MAX_WORDS), UNKNOWN + 1)}
    length = min(MAX_LENGTH, max(map(len, sentences)))
    words = torch.full((len(labels), length), PADDING)
    for row, index in enumerate(order):
        found = [numbers.get(word, UNKNOWN) for word in sentences[index][:length]]
        words[row, : len(found)] = torch.tensor(found)
    answers = torch.tensor([classes.index(labels[index]) for index in order])
    halves = slice(kept), slice(kept, None)
    splits = [Sentences(words[half].to(device), answers[half].to(device), ranks) for half in halves]
    return DataSet("csv", TextShape(len(numbers) + UNKNOWN + 1, length, len(classes)), *splits, vocabulary=numbers)


def _split(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower()) or [""]
