"""Sentences with labels, from any CSV file of two columns, as tensors of token indices on the device that trains.

Axes: ``n`` sentence, ``t`` token.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from darts.data.dataset import HELD_OUT_NOTE, DataSet
from darts.data.order import hold_out, shard, stratified
from darts.data.split import HostBatch, Split
from darts.data.text.unicode_file import read_unicode
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.shapes import TextShape

PADDING, UNKNOWN = 0, 1
"""Indices of the padding after a sentence and of words outside the vocabulary."""

DELIMITERS = (",", ";", "\t")
"""Separators of columns, in the order in which they are tried."""

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

    def content(self) -> Tensor:
        return self.tokens


def read_sentences(
    path: Path, device: torch.device, ranks: Ranks = SINGLE_PROCESS, limit: int | None = None
) -> DataSet:
    """Read a CSV file of sentences and labels, and hold out a fifth of each class, in random order, for testing.

    Columns are separated by commas, semicolons or tabs. The label column is the one with fewer different values. A
    first line that names the columns is left out if its label occurs nowhere else. Tokens are runs of letters and
    digits, in lower case, and single other signs.

    Args:
        path: the file, in UTF-8 or, with a byte order mark, UTF-16.
        device: of the batches.
        ranks: the processes that share each batch.
        limit: number of sentences of each split, stratified by class; None for all.

    Raises:
        UserError: naming the file and row where it is no such file.
    """
    rows = _rows(path)
    if len(rows) < 10:
        raise UserError(f"`data.root` {path}: {len(rows)} rows are too few to learn from and hold some out")
    labels, texts = sorted(zip(*rows), key=lambda column: len(set(column)))
    notes = [HELD_OUT_NOTE]
    if labels.count(labels[0]) == 1:
        notes.append(f"the first row, {rows[0][0][:20]!r} and {rows[0][1][:20]!r}, is taken for the columns' names")
        labels, texts = labels[1:], texts[1:]
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise UserError(f"`data.root` {path}: one label only, {classes[0]!r}")
    sentences = [tokens_of(text) for text in texts]
    index_of = {name: index for index, name in enumerate(classes)}
    targets = np.array([index_of[label] for label in labels])
    try:
        kept, tested = hold_out(targets)
    except UserError as error:
        raise UserError(f"`data.root` {path}: {error}") from None
    if limit is not None:
        kept, tested = kept[stratified(targets[kept], limit)], tested[stratified(targets[tested], limit)]
    counts = Counter(word for index in kept for word in sentences[index])
    vocabulary = {word: k for k, (word, _) in enumerate(counts.most_common(MAX_WORDS), UNKNOWN + 1)}
    length = min(MAX_LENGTH, max(map(len, sentences)))

    def split(indices: np.ndarray) -> Sentences:
        tokens = torch.full((len(indices), length), PADDING)
        for position, index in enumerate(indices):
            found = [vocabulary.get(word, UNKNOWN) for word in sentences[index][:length]]
            tokens[position, : len(found)] = torch.tensor(found)
        return Sentences(tokens.to(device), torch.from_numpy(targets[indices]).to(device), ranks)

    shape = TextShape(len(vocabulary) + UNKNOWN + 1, length, len(classes))
    cut = sum(len(words) > MAX_LENGTH for words in sentences)
    if cut:
        notes.append(f"{cut} sentences cut to {MAX_LENGTH} tokens")
    return DataSet(
        "csv", shape, split(kept), split(tested), vocabulary=vocabulary, classes=tuple(classes), notes=tuple(notes)
    )


def _rows(path: Path) -> list[list[str]]:
    """Return the rows of a file, of two columns each.

    Raises:
        UserError: naming the file and row where it is no such file.
    """
    text = read_unicode(path, "CSV file")
    first = ""
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
        except csv.Error as error:
            raise UserError(f"`data.root` {path}: not a readable CSV file ({str(error)[:80]})") from None
        if all(len(row) == 2 for row in rows):
            return rows
        number, row = next((number, row) for number, row in enumerate(rows, 1) if len(row) != 2)
        first = first or f"row {number}: {len(row)} columns"
    raise UserError(f"`data.root` {path}, {first}; two are needed, sentence and label")


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text: runs of letters and digits, in lower case, and single other signs."""
    return re.findall(r"\w+|[^\w\s]", text.lower()) or [""]
