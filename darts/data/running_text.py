"""Language modelling: running text as streams of words, and the loss of foretelling the next word.

A text is cut into as many parts as a batch has sequences; a batch is the next few words of each part, and goes on where
the one before has ended. Lengths vary around the one that gradients go back over, and the learning rate with them
(Merity et al. 2018, section 5.1).

Axes: ``b`` part of the text, ``t`` word, ``h`` hidden width, ``v`` vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.dataset import DeterministicSplit
from darts.errors import UserError
from darts.config.language import LanguageConfig
from darts.training.objective import Call, Outcome

SHORTEST = 5
"""Words of the shortest batch that is drawn."""

LONGEST = 20
"""Words that a batch may have more than the configuration's length."""

LARGEST_LOSS = 700.0
"""Nats whose exponential is still a number."""


@dataclass(frozen=True)
class Text(DeterministicSplit):
    """A split of a text, on one device: the numbers of its words, ``(n,)``. Examples are the places of words."""

    words: Tensor
    config: LanguageConfig

    def __len__(self) -> int:
        return len(self.words)

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, ...]]:
        for pick in self.picks(order, size, training, first):
            yield self.load(*pick, training=training)

    def picks(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """Batches of one length: the places of their words, ``(b, t + 1)``, and which parts go on, ``(b,)``.

        Args:
            order: places of words that follow each other.
            size: parts, while training.
        """
        size = size if training else self._streams(len(order))
        yield from self._cut(order, size, repeat(self.config.length), first)

    def endless_picks(
        self, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0
    ) -> Iterator[tuple[Tensor, ...]]:
        """Training batches of drawn lengths, from batch ``first`` on; at its end the text begins anew."""
        number, last = 0, len(indices) // size - 1
        while True:
            lengths = self._drawn(last, seed, number)
            if first < len(lengths):
                yield from self._cut(indices, size, lengths, first)
            number, first = number + 1, max(first - len(lengths), 0)

    def steps(self, count: int, size: int, training: bool = True) -> int:
        """Batches of so many words; where lengths are drawn, on the average.

        Raises:
            UserError: where there are too few words.
        """
        config = self.config
        size = size if training else self._streams(count)
        if count < 2 * size:
            raise UserError(f"{count} words are too few for {size} parts of two words: lower --batch-size")
        mean = config.length
        if training:
            mean += config.halved * (config.length // 2 - config.length) - (0.5 if config.spread else 0.0)
        return math.ceil((count // size - 1) / mean)

    def lr_scale(self, pick: tuple[Tensor, ...]) -> float:
        """A batch's length, as a multiple of what the learning rate is meant for."""
        places, _ = pick
        return (places.shape[1] - 1) / self.config.length

    def load(self, *pick: Tensor, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Words ``(b, t)``, the words that follow them, and which parts go on."""
        places, goes_on = pick
        words = self.words[places]
        return words[:, :-1], words[:, 1:], goes_on

    def _streams(self, count: int) -> int:
        """Parts that are evaluated side by side: fewer where the text is short."""
        return max(1, min(self.config.streams, count // 2))

    def _cut(self, order: Tensor, size: int, lengths: Iterable[int], first: int) -> Iterator[tuple[Tensor, ...]]:
        """The batches of these lengths; the last is as long as the text. Words that fill no column are left out."""
        each = len(order) // size
        rows = order[: each * size].to(self.words.device).view(size, each)
        start = 0
        for number, length in enumerate(lengths):
            stop = min(start + length, each - 1)
            if start >= stop:
                return
            if number >= first:
                yield rows[:, start : stop + 1], self.words.new_full((size,), start > 0, dtype=torch.float32)
            start = stop

    def _drawn(self, last: int, seed: int, number: int) -> list[int]:
        """The lengths of the batches of a text's pass, until ``last`` words have gone by."""
        config = self.config
        half = max(1, config.length // 2)
        least = min(SHORTEST, half)
        rng = np.random.default_rng((seed, number))
        count = last // least + 1
        lengths = np.where(rng.random(count) < config.halved, half, config.length)
        if config.spread:
            lengths = rng.normal(lengths, config.spread).astype(int).clip(least, config.length + LONGEST)
        return lengths[: int(np.searchsorted(lengths.cumsum(), last)) + 1].tolist()


@dataclass(frozen=True)
class LanguageModelling:
    """Mean cross-entropy of every next word, in nats.

    Weights that train also descend ``activation`` times the mean square of what goes on to the scores, and ``slowness``
    times that of the state's steps from word to word (Merity et al. 2018, section 4.3).
    """

    activation: float = 0.0
    slowness: float = 0.0

    def __call__(self, network: Call, batch: tuple[Tensor, ...]) -> Outcome:
        """Of ``(words, answers, which parts go on)``, and where states are carried, the state and its place."""
        words, answers, _, *carried = batch
        begin, end = carried or (None, None)
        passed = network(words.t(), begin)
        if end is not None:
            end.copy_(passed.hidden.detach())
        scores = passed.scores.float() if passed.scores.dtype.itemsize < 4 else passed.scores
        loss = F.cross_entropy(scores.flatten(0, 1), answers.t().flatten())
        extra = torch.zeros_like(loss)
        if self.activation:
            extra = extra + self.activation * passed.dropped.square().mean()
        if self.slowness and len(passed.raw) > 1:
            extra = extra + self.slowness * (passed.raw[1:] - passed.raw[:-1]).square().mean()
        return Outcome(loss, {"images": torch.tensor(answers.numel())}, extra)

    def figures(self, means: Mapping[str, float]) -> dict[str, float]:
        """The perplexity: e to the mean loss."""
        return {"perplexity": math.exp(min(means["loss"], LARGEST_LOSS))}
