"""Random search: the baseline that every strategy has to beat (Bergstra and Bengio 2012; Li and Talwalkar 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from darts.blackbox.points import Decisions, Point, complete
from darts.blackbox.strategies.strategy import MAX_DRAWS, Key, key_of


@dataclass(frozen=True)
class RandomSearch:
    """Draw every decision uniformly, without repeated points until only repeats are found."""

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions)


@dataclass
class _Search:
    decisions: Decisions
    asked: set[Key] = field(default_factory=set)

    def ask(self, rng: Random) -> Point:
        point = complete(self.decisions, {}, rng)
        for _ in range(MAX_DRAWS):
            if key_of(point) not in self.asked:
                break
            point = complete(self.decisions, {}, rng)
        self.asked.add(key_of(point))
        return point

    def tell(self, point: Point, value: float | None) -> None:
        pass
