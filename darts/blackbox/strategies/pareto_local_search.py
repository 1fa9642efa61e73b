"""Pareto local search: climb among the neighbours of a whole Pareto set (Paquete et al. 2004)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from darts.blackbox.pareto.fronts import Outcome, crowding_distances, dominates, outcome_from
from darts.blackbox.points import Decisions, Point, neighbours
from darts.blackbox.strategies.strategy import Key, Search, Strategy, draw_new, key_of
from darts.config.ranges import require


@dataclass(frozen=True)
class ParetoLocalSearch(Strategy):
    """Evaluate ``first`` random points, then neighbours of the Pareto set, and at random where all are known.

    The published search visits all neighbours of a point, and takes the points in the order in which they came. This
    one visits a neighbour at a time: of the point with the larger crowding distance of two that are drawn, so that the
    ends and the emptiest places of the set come first where a budget ends long before all neighbours are known. Points
    that were evaluated are not asked again. While nothing is within the limits, the set is of the smallest violation.
    """

    first: int = 10
    several_objectives: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, from_1=("first",))

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Member:
    outcome: Outcome
    point: Point
    waiting: Iterator[Point] | None = None


@dataclass
class _Search(Search):
    decisions: Decisions
    options: ParetoLocalSearch
    told: int = 0
    members: list[_Member] = field(default_factory=list)
    asked: set[Key] = field(default_factory=set)

    def ask(self, rng: Random) -> Point:
        if self.told >= self.options.first:
            distances = crowding_distances([member.outcome.values for member in self.members])
            unfinished = list(zip(distances, self.members))
            while unfinished:
                place = max((rng.randrange(len(unfinished)) for _ in range(2)), key=lambda index: unfinished[index][0])
                found = self._neighbour(unfinished[place][1], rng)
                if found is not None:
                    self.asked.add(key_of(found))
                    return found
                unfinished.pop(place)
        return draw_new(lambda: self.decisions.sample(rng), self.asked)

    def tell(self, point: Point, value: Outcome | float | None) -> None:
        """Note the outcome of a point, or its value where there is one objective; None where it failed."""
        self.told += 1
        self.asked.add(key_of(point))
        if value is None:
            return
        outcome = outcome_from(value)
        if any(dominates(member.outcome, outcome) or member.outcome == outcome for member in self.members):
            return
        self.members = [member for member in self.members if not dominates(outcome, member.outcome)]
        self.members.append(_Member(outcome, point))

    def _neighbour(self, member: _Member, rng: Random) -> Point | None:
        """Return a neighbour that was not asked for; None where all were."""
        if member.waiting is None:
            member.waiting = neighbours(self.decisions, member.point, rng)
        return next((point for point in member.waiting if key_of(point) not in self.asked), None)
