"""Local search: climb among neighbours, start anew on a peak (White et al. 2021, local search is state of the art)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from darts.blackbox.points import Decisions, Point, neighbours
from darts.blackbox.strategies.strategy import MAX_DRAWS, Evaluated, Key, Search, Strategy, key_of, value_of
from darts.config.ranges import require


@dataclass(frozen=True)
class LocalSearch(Strategy):
    """Evaluate the neighbours of the best point and move to a better one; restart at random where none is better.

    With ``first_improvement`` the search moves as soon as a neighbour is better, else to the best of all neighbours. A
    climb begins at the best of ``starts`` random points. Points that were evaluated are not asked again, nor moved to
    by a later climb, which would only follow an earlier one.
    """

    first_improvement: bool = False
    starts: int = 1

    def __post_init__(self) -> None:
        require(self, from_1=("starts",))

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: LocalSearch
    values: dict[Key, float | None] = field(default_factory=dict)
    centre: Point | None = None
    best: Evaluated | None = None
    waiting: Iterator[Point] | None = None
    starting: list[Evaluated] = field(default_factory=list)

    def ask(self, rng: Random) -> Point:
        point: Point = {}
        for _ in range(MAX_DRAWS):
            if self.centre is None:
                point = self.decisions.sample(rng)
            else:
                if self.waiting is None:
                    self.waiting = neighbours(self.decisions, self.centre, rng)
                following = next(self.waiting, None)
                if following is None:
                    self._move()
                    continue
                point = following
            if key_of(point) not in self.values:
                break
            if self.centre is None:
                self._note(point, self.values[key_of(point)])
        return point

    def tell(self, point: Point, value: float | None) -> None:
        self.values[key_of(point)] = value
        self._note(point, value)

    def _note(self, point: Point, value: float | None) -> None:
        """Take the value of a new neighbour, or of a start, into account."""
        if value is None:
            return
        if self.centre is None or self.best is None:
            self.starting.append((value, point))
            if len(self.starting) >= self.options.starts:
                self.best = max(self.starting, key=value_of)
                self.centre, self.waiting, self.starting = self.best[1], None, []
        elif value > self.best[0]:
            self.best = value, point
            if self.options.first_improvement:
                self.centre, self.waiting = point, None

    def _move(self) -> None:
        """All neighbours are known: go to the best of the new ones, or start anew."""
        if self.best is None or self.best[1] is self.centre:
            self.centre = self.best = self.waiting = None
        else:
            self.centre, self.waiting = self.best[1], None
