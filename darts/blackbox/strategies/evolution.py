"""Regularized evolution: the oldest dies (Real et al. 2019, AmoebaNet, algorithm 1)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from darts.blackbox.points import Decisions, Point, mutate
from darts.blackbox.strategies.strategy import Evaluated, Search, Strategy, value_of
from darts.config.ranges import choose, require


@dataclass(frozen=True)
class RegularizedEvolution(Strategy):
    """Random points fill the population; then the best of a sample gets a mutated child, and the oldest member dies.

    ``population``: its members; ``sample``: how many are drawn, with replacement, to find a parent. ``mutation``: any
    decision changes with equal probability, or one of a group that is drawn first (``node_first``, as in the code of
    NAS-Bench-201's authors). A failed evaluation neither enters the population nor kills a member.
    """

    population: int = 100
    sample: int = 25
    mutation: str = "uniform"

    def __post_init__(self) -> None:
        require(self, from_1=("population", "sample"))
        choose(self, mutation=("uniform", "node_first"))

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: RegularizedEvolution
    members: deque[Evaluated] = field(default_factory=deque)

    def ask(self, rng: Random) -> Point:
        if len(self.members) < self.options.population:
            return self.decisions.sample(rng)
        drawn = [rng.choice(self.members) for _ in range(self.options.sample)]
        parent = max(drawn, key=value_of)[1]
        return mutate(self.decisions, parent, rng, node_first=self.options.mutation == "node_first")

    def tell(self, point: Point, value: float | None) -> None:
        if value is not None:
            self.members.append((value, point))
            if len(self.members) > self.options.population:
                self.members.popleft()
