"""A strategy of search that tries given architectures first: a good one that is known, or what earlier searches found
on other data (Feurer et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from darts.blackbox.points import Decisions, Point, complete
from darts.blackbox.strategies.strategy import Search, Strategy


@dataclass(frozen=True)
class Beginning(Strategy):
    """A strategy that asks for given points first.

    Attributes:
        strategy: that asks for all others; it learns the values of the given ones too.
        first: the points in their order; decisions that one leaves out are drawn.
    """

    strategy: Strategy
    first: tuple[Mapping[str, str], ...]

    def start(self, decisions: Decisions) -> Search:
        """Begin a search."""
        return _Begun(decisions, self.strategy.start(decisions), list(self.first))


@dataclass
class _Begun:
    decisions: Decisions
    search: Search
    first: list[Mapping[str, str]] = field(default_factory=list)

    def ask(self, rng: Random) -> Point:
        return complete(self.decisions, self.first.pop(0), rng) if self.first else self.search.ask(rng)

    def tell(self, point: Point, value: Any) -> None:
        self.search.tell(point, value)
