"""Regularized evolution: the oldest dies (Real et al. 2019, AmoebaNet, algorithm 1)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from darts.blackbox.points import Decisions, Point, complete, mutate
from darts.blackbox.strategies.strategy import Evaluated, value_of
from darts.config.ranges import require


@dataclass(frozen=True)
class RegularizedEvolution:
    """Random points fill the population; then the best of a sample gets a mutated child, and the oldest member dies.

    ``population``: its members; ``sample``: how many are drawn, with replacement, to find a parent. A failed evaluation
    neither enters the population nor kills a member.
    """

    population: int = 100
    sample: int = 25

    def __post_init__(self) -> None:
        require(self, from_1=("population", "sample"))

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search:
    decisions: Decisions
    options: RegularizedEvolution
    members: deque[Evaluated] = field(default_factory=deque)

    def ask(self, rng: Random) -> Point:
        if len(self.members) < self.options.population:
            return complete(self.decisions, {}, rng)
        drawn = [rng.choice(self.members) for _ in range(self.options.sample)]
        return mutate(self.decisions, max(drawn, key=value_of)[1], rng)

    def tell(self, point: Point, value: float | None) -> None:
        if value is not None:
            self.members.append((value, point))
            if len(self.members) > self.options.population:
                self.members.popleft()
