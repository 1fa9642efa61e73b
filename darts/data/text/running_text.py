"""Running text as parallel streams of tokens.

A text is cut into as many streams as a batch has sequences; a batch holds the next few tokens of each stream, and
continues where the previous batch ended. Lengths vary around that of truncated backpropagation, and the learning rate
is scaled with them (Merity et al. 2018, section 5.1).

Axes: ``b`` stream of the text, ``t`` token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from darts.config import LanguageConfig
from darts.data.split import HostBatch, Split
from darts.errors import UserError

SHORTEST = 5
"""Tokens of the shortest batch that is drawn."""

LONGEST = 20
"""Tokens that a batch may have more than the configuration's length."""


@dataclass(frozen=True)
class RunningText(Split):
    """A split of a text on one device: the indices of its tokens, ``(n,)``. Its examples are positions of tokens."""

    tokens: Tensor
    config: LanguageConfig

    def __len__(self) -> int:
        return len(self.tokens)

    def content(self) -> Tensor:
        return self.tokens

    def host_batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[HostBatch]:
        """Yield batches of one length: positions of tokens, ``(b, t + 1)``, and which streams continue, ``(b,)``.

        Args:
            order: consecutive positions of tokens.
            size: number of streams, while training; in evaluation ``config.streams``.
            training: whether the network trains on the batches.
            first: number of the batch to begin with.
        """
        size = size if training else self._streams(len(order))
        yield from self._batches_of(order, size, repeat(self.config.length), first)

    def endless_host_batches(
        self, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0
    ) -> Iterator[HostBatch]:
        """Yield training batches of drawn lengths, from batch ``first`` on; at its end the text begins anew."""
        epoch, last = 0, len(indices) // size - 1
        while True:
            lengths = self._draw_lengths(last, seed, epoch)
            if first < len(lengths):
                yield from self._batches_of(indices, size, lengths, first)
            epoch, first = epoch + 1, max(first - len(lengths), 0)

    def steps(self, count: int, size: int, training: bool = True) -> int:
        """Return the number of batches that ``count`` tokens make; where lengths are drawn, its expectation.

        Raises:
            UserError: where there are too few tokens.
        """
        config = self.config
        size = size if training else self._streams(count)
        if count < 2 * size:
            raise UserError(f"{count} tokens are too few for {size} streams of two tokens: lower `batch_size`")
        mean = float(config.length)
        if training:
            mean += config.halved * (config.length // 2 - config.length) - (0.5 if config.spread else 0.0)
        return math.ceil((count // size - 1) / mean)

    def lr_scale(self, host_batch: HostBatch) -> float:
        """Return a batch's length as a multiple of the length that the learning rate is meant for."""
        positions, _ = host_batch
        return (positions.shape[1] - 1) / self.config.length

    def load(self, *host_batch: Tensor, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens ``(b, t)``, the tokens that follow them, ``(b, t)``, and which streams continue, ``(b,)``."""
        positions, continues = host_batch
        tokens = self.tokens[positions]
        return tokens[:, :-1], tokens[:, 1:], continues

    def _streams(self, count: int) -> int:
        """Return the number of streams that are evaluated in parallel: fewer where the text is short."""
        return max(1, min(self.config.streams, count // 2))

    def _batches_of(self, order: Tensor, size: int, lengths: Iterable[int], first: int) -> Iterator[HostBatch]:
        """Yield the batches of these lengths; the last ends with the text. Tokens that fill no column are left out."""
        length_of_stream = len(order) // size
        rows = order[: length_of_stream * size].to(self.tokens.device).view(size, length_of_stream)
        start = 0
        for number, length in enumerate(lengths):
            stop = min(start + length, length_of_stream - 1)
            if start >= stop:
                return
            if number >= first:
                yield rows[:, start : stop + 1], self.tokens.new_full((size,), start > 0, dtype=torch.float32)
            start = stop

    def _draw_lengths(self, last: int, seed: int, epoch: int) -> list[int]:
        """Return the lengths of the batches of an epoch, whose sum reaches ``last`` tokens."""
        config = self.config
        half = max(1, config.length // 2)
        least = min(SHORTEST, half)
        rng = np.random.default_rng((seed, epoch))
        count = last // least + 1
        lengths = np.where(rng.random(count) < config.halved, half, config.length)
        if config.spread:
            lengths = rng.normal(lengths, config.spread).astype(int).clip(least, config.length + LONGEST)
        return lengths[: int(np.searchsorted(lengths.cumsum(), last)) + 1].tolist()
