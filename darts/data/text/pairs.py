"""Pairs of sentences, the second the translation of the first, from a file with a tab between them on each line.

Axes: ``n`` pair, ``s`` token of the source, ``t`` token of the target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from darts.data.dataset import DataSet
from darts.data.order import hold_out, shard
from darts.data.split import HostBatch, Split
from darts.data.text.sentences import MAX_WORDS, PADDING, UNKNOWN, tokens_of
from darts.data.text.translation import BEGIN, END, Translation
from darts.data.text.unicode_file import read_unicode
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.shapes import TranslationShape

MAX_LENGTH = 128
"""Pairs with a longer sentence, in tokens, are left out."""

FEWEST = 10
"""Pairs that a file must hold."""


@dataclass(frozen=True)
class Pairs(Split):
    """A split held on one device: tokens ``(n, s)`` and ``(n, t)``, int64; ``ranks`` share each batch."""

    source: Tensor
    target: Tensor
    ranks: Ranks = SINGLE_PROCESS

    def __len__(self) -> int:
        return len(self.source)

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield the indices of each batch, ``(b,)``, on the sentences' device."""
        yield from ((indices,) for indices in order.to(self.source.device).split(size)[first:])

    def load(self, *host_batch: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Return this rank's shard of the sources ``(b, s)`` and targets ``(b, t)`` of these indices."""
        (indices,) = host_batch
        indices = indices[shard(len(indices), training, self.ranks, indices.device)]
        return self.source[indices], self.target[indices]

    def content(self) -> Tensor:
        return torch.cat([self.source, self.target], 1)


def read_pairs(path: Path, field: str = "data.root", fewest: int = FEWEST) -> list[tuple[str, str]]:
    """Read the pairs of a file, in UTF-8 or, with a byte order mark, UTF-16; empty lines are left out.

    Args:
        path: the file.
        field: of the configuration that names it, for messages.
        fewest: pairs that it must hold.

    Raises:
        UserError: naming the file and the first line that is no pair.
    """
    pairs = []
    text = read_unicode(path, "file of pairs", field).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also cut at separators within a sentence
        fields = [part.strip() for part in line.split("\t")]
        if len(fields) == 2 and all(fields):
            pairs.append((fields[0], fields[1]))
        elif line.strip():
            found = "an empty sentence" if len(fields) == 2 else f"{len(fields) - 1} tabs"
            raise UserError(f"`{field}` {path}, line {number}: {found}; one tab must stand between two sentences")
    if len(pairs) < fewest:
        raise UserError(f"`{field}` {path}: {len(pairs)} pairs are too few; {fewest} are needed at least")
    return pairs


def pairs_of(
    name: str,
    pairs: Sequence[tuple[str, str]],
    device: torch.device,
    ranks: Ranks = SINGLE_PROCESS,
    limit: int | None = None,
) -> DataSet:
    """Return pairs as a data set; a fifth of the different sources is held out for testing, in random order.

    Args:
        name: of the data set.
        pairs: of sentences.
        device: of the batches.
        ranks: the processes that share each batch.
        limit: number of pairs of each split; None for all.

    Raises:
        UserError: where too few are left.
    """
    tokens = [(tokens_of(source), tokens_of(target)) for source, target in pairs]
    kept = [pair for pair in tokens if max(map(len, pair)) <= MAX_LENGTH]
    notes = ["a fifth of the sources held out for testing"]
    if len(kept) < len(tokens):
        notes.append(f"{len(tokens) - len(kept)} pairs of more than {MAX_LENGTH} tokens left out")
    sources = list(dict.fromkeys(tuple(source) for source, _ in kept))
    if len(sources) < FEWEST:
        raise UserError(f"`data.root`: {len(sources)} different sources are too few to learn from and hold some out")
    _, tested = hold_out(np.zeros(len(sources), dtype=np.int64))
    held_out = {sources[index] for index in tested}
    parts = [[pair for pair in kept if (tuple(pair[0]) in held_out) is test][:limit] for test in (False, True)]
    words = [_vocabulary([pair[side] for pair in parts[0]]) for side in (0, 1)]
    lengths = [2 + max(len(pair[side]) for part in parts for pair in part) for side in (0, 1)]

    def split(part: Sequence[tuple[list[str], list[str]]]) -> Pairs:
        source, target = (
            torch.stack([encoded(pair[side], words[side], lengths[side]) for pair in part]) for side in (0, 1)
        )
        return Pairs(source.to(device), target.to(device), ranks)

    train, test = map(split, parts)
    shape = TranslationShape(*(END + 1 + len(known) for known in words), *lengths)
    return DataSet(
        name,
        shape,
        train,
        test,
        objective=Translation(),
        vocabulary=words[0],
        target_vocabulary=words[1],
        notes=tuple(notes),
    )


def encoded(tokens: Sequence[str], vocabulary: Mapping[str, int], length: int) -> Tensor:
    """Return a sentence as indices, between those of beginning and end, with padding behind: ``(length,)``."""
    found = [BEGIN, *(vocabulary.get(token, UNKNOWN) for token in tokens[: length - 2]), END]
    return torch.tensor(found + [PADDING] * (length - len(found)))


def _vocabulary(sentences: Sequence[Sequence[str]]) -> dict[str, int]:
    counts = Counter(token for sentence in sentences for token in sentence)
    return {word: index for index, (word, _) in enumerate(counts.most_common(MAX_WORDS), END + 1)}
