"""NSGA-II: a genetic algorithm for several objectives (Deb et al. 2002)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import ClassVar

from darts.blackbox.pareto.fronts import Outcome, best_first, crowding_distances, fronts, outcome_from
from darts.blackbox.points import Decisions, Point, complete, permitted
from darts.blackbox.strategies.genetic import CROSSOVERS, mutated
from darts.blackbox.strategies.strategy import Key, Search, Strategy, draw_new
from darts.config.ranges import choose, require

REDRAWS = 50
"""Children that are drawn before one that was evaluated already is asked again."""


@dataclass(frozen=True)
class NSGA2(Strategy):
    """Keep the best of parents and children by front, and within a front the points in the emptiest places.

    Each child has two parents, each the better of two random members (binary tournament by front, then by crowding
    distance). It crosses them (``crossover`` uniform or one_point) with probability ``crossover_rate``, else it is a
    copy of the first; then each decision changes with probability ``mutation_rate``. Points that were evaluated are
    not asked again while others are found. Failed and pruned evaluations never become parents.
    """

    population: int = 50
    mutation_rate: float = 0.1
    crossover: str = "uniform"
    crossover_rate: float = 0.9
    several_objectives: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, from_2=("population",), share=("mutation_rate", "crossover_rate"))
        choose(self, crossover=CROSSOVERS)

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: NSGA2
    members: list[tuple[Outcome, Point]] = field(default_factory=list)
    ranks: list[tuple[int, float]] = field(default_factory=list)
    children: list[tuple[Outcome, Point]] = field(default_factory=list)
    asked: set[Key] = field(default_factory=set)

    def ask(self, rng: Random) -> Point:
        return draw_new(lambda: permitted(self.decisions, partial(self._draw, rng)), self.asked, REDRAWS)

    def tell(self, point: Point, value: Outcome | float | None) -> None:
        """Note the outcome of a point, or its value where there is one objective; None where it failed."""
        if value is None:
            return
        self.children.append((outcome_from(value), point))
        if len(self.children) >= self.options.population:
            self._next_generation()

    def _draw(self, rng: Random) -> Point:
        if not self.members:
            return self.decisions.sample(rng)
        first, second = self._parent(rng), self._parent(rng)
        if rng.random() < self.options.crossover_rate:
            first = complete(self.decisions, CROSSOVERS[self.options.crossover](first, second, rng), rng)
        return mutated(self.decisions, first, self.options.mutation_rate, rng)

    def _parent(self, rng: Random) -> Point:
        drawn = [rng.randrange(len(self.members)) for _ in range(2)]
        return self.members[min(drawn, key=lambda index: self.ranks[index])][1]

    def _next_generation(self) -> None:
        everyone = [*self.members, *self.children]
        kept = best_first([outcome for outcome, _ in everyone])[: self.options.population]
        self.members, self.children = [everyone[index] for index in kept], []
        outcomes = [outcome for outcome, _ in self.members]
        ranks: dict[int, tuple[int, float]] = {}
        for rank, front in enumerate(fronts(outcomes)):
            distances = crowding_distances([outcomes[index].values for index in front])
            ranks |= {index: (rank, -distance) for index, distance in zip(front, distances)}
        self.ranks = [ranks[index] for index in range(len(outcomes))]
