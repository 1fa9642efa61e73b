"""A generational genetic algorithm: tournaments, crossover, mutation, elitism (Holland 1975; Goldberg 1989)."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from darts.blackbox.points import Decisions, Point, complete, permitted
from darts.blackbox.strategies.strategy import Evaluated, Search, Strategy, value_of
from darts.config.ranges import choose, require


@dataclass(frozen=True)
class GeneticAlgorithm(Strategy):
    """Replace the population generation by generation.

    ``elite`` of the best members stay; the others are children of two parents. A parent is the best of ``tournament``
    members drawn with replacement, or any of the best ``survivors`` (a share) of the population (``selection``
    truncation). A child takes every decision from one of both (``crossover`` uniform), or those before a random place
    from the first and the rest from the second (one_point); then each decision changes with probability
    ``mutation_rate``.
    """

    population: int = 100
    mutation_rate: float = 0.1
    crossover: str = "uniform"
    selection: str = "tournament"
    tournament: int = 3
    survivors: float = 0.5
    elite: int = 2

    def __post_init__(self) -> None:
        require(
            self,
            from_2=("population",),
            from_1=("tournament",),
            from_0=("elite",),
            share=("mutation_rate", "survivors"),
        )
        choose(self, crossover=CROSSOVERS, selection=("tournament", "truncation"))
        if self.elite >= self.population:
            raise ValueError(f"elite is {self.elite}; it must be less than the population, {self.population}")

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: GeneticAlgorithm
    members: list[Evaluated] = field(default_factory=list)
    children: list[Evaluated] = field(default_factory=list)

    def ask(self, rng: Random) -> Point:
        if not self.members:
            return self.decisions.sample(rng)
        return permitted(self.decisions, lambda: self._child(rng))

    def _child(self, rng: Random) -> Point:
        first, second = self._parent(rng), self._parent(rng)
        mixed = CROSSOVERS[self.options.crossover](first, second, rng)
        return mutated(self.decisions, complete(self.decisions, mixed, rng), self.options.mutation_rate, rng)

    def tell(self, point: Point, value: float | None) -> None:
        if value is not None:
            self.children.append((value, point))
        kept = self.options.elite if self.members else 0
        if len(self.children) + kept >= self.options.population:
            elite = sorted(self.members, key=value_of, reverse=True)[:kept]
            self.members, self.children = [*elite, *self.children], []

    def _parent(self, rng: Random) -> Point:
        if self.options.selection == "truncation":
            count = max(1, round(self.options.survivors * len(self.members)))
            return rng.choice(sorted(self.members, key=value_of, reverse=True)[:count])[1]
        drawn = [rng.choice(self.members) for _ in range(self.options.tournament)]
        return max(drawn, key=value_of)[1]


def mutated(decisions: Decisions, point: Point, rate: float, rng: Random) -> Point:
    """Change each decision to another value with probability ``rate``; what a change makes necessary is drawn."""
    made: Point = {}
    while (decision := decisions.following(made)) is not None:
        value = point.get(decision.name)
        others = [other for other in decision.values if other != value]
        lost = value is None or value not in decision.values
        if others and (lost or rng.random() < rate):
            value = rng.choice(others)
        made[decision.name] = value if value is not None else decision.values[0]
    return made


def uniform(first: Point, second: Point, rng: Random) -> Point:
    """Take each decision from one of two parents; a decision that one of them lacks comes from the other."""
    names = list(dict.fromkeys([*first, *second]))
    return {name: rng.choice([parent for parent in (first, second) if name in parent])[name] for name in names}


def one_point(first: Point, second: Point, rng: Random) -> Point:
    """Take the decisions before a random place from the first parent, those behind it from the second."""
    place = rng.randint(1, max(1, len(first) - 1))
    return {**first, **second, **dict(list(first.items())[:place])}


CROSSOVERS = {"uniform": uniform, "one_point": one_point}
