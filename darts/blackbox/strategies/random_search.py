"""Random search: the baseline that every strategy has to beat (Bergstra and Bengio 2012; Li and Talwalkar 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import ClassVar

from darts.blackbox.points import Decisions, Point
from darts.blackbox.strategies.strategy import MAX_DRAWS, Key, Search, Strategy, draw_new


@dataclass(frozen=True)
class RandomSearch(Strategy):
    """Draw architectures, all equally likely, without repeats until only repeats are found."""

    several_objectives: ClassVar[bool] = True

    def start(self, decisions: Decisions) -> Search:
        """Begin a search."""
        return _Search(decisions)


@dataclass(frozen=True)
class SharedRandomSearch(RandomSearch):
    """Random search with weight sharing (RSPS, Li and Talwalkar 2019).

    A supernet is trained on uniformly sampled paths; the best of random architectures by its weights is the answer.
    """

    needs_shared_weights: ClassVar[bool] = True
    several_objectives: ClassVar[bool] = False


@dataclass
class _Search(Search):
    decisions: Decisions
    asked: set[Key] = field(default_factory=set)

    def ask(self, rng: Random) -> Point:
        exhausted = len(self.asked) == self.decisions.count()
        return draw_new(partial(self.decisions.sample, rng), self.asked, 1 if exhausted else MAX_DRAWS)

    def tell(self, point: Point, value: float | None) -> None:
        pass
