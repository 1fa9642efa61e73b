"""A strategy of search that tries a given architecture first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from darts.blackbox.points import Decisions, Point, complete
from darts.blackbox.strategies.strategy import Search, Strategy


@dataclass(frozen=True)
class Beginning(Strategy):
    """A strategy that asks for a given point first."""

    strategy: Strategy
    first: Mapping[str, str]

    def start(self, decisions: Decisions) -> Search:
        """Begin a search."""
        return _Begun(decisions, self.strategy.start(decisions), self.first)


@dataclass
class _Begun:
    decisions: Decisions
    search: Search
    first: Mapping[str, str] | None

    def ask(self, rng: Random) -> Point:
        first, self.first = self.first, None
        return self.search.ask(rng) if first is None else complete(self.decisions, first, rng)

    def tell(self, point: Point, value: Any) -> None:
        self.search.tell(point, value)
