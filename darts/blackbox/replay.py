"""Searches on a benchmark, replayed: many seeds of a strategy in seconds, without storage and without training.

The protocol of NAS-Bench-201 (Dong and Yang 2020): the reward is the validation accuracy of the short training; a query
costs the seconds that the benchmark has recorded for it; a search ends before the query that would exceed its budget;
what counts is the test accuracy, after the long training, of the architecture of the best reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from darts.benchmarks.protocol import Benchmark, Score
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.strategies import Strategy
from darts.config.blackbox import BudgetConfig
from genotypes import Genotype


@dataclass(frozen=True)
class Replay:
    """A search that has ended.

    Attributes:
        genotype: of the best reward, the earliest among equals.
        reward: its validation accuracy after the short training.
        queries: architectures that were looked up, repeated ones included.
        seconds: that they cost by the benchmark's records.
    """

    genotype: Genotype
    reward: float
    queries: int
    seconds: float


class Table:
    """A benchmark's scores for one data set and length of training, each looked up once."""

    def __init__(self, benchmark: Benchmark, data: str, epochs: int):
        self._benchmark, self._data, self._epochs = benchmark, data, epochs
        self._scores: dict[Genotype, Score] = {}

    def score(self, genotype: Genotype) -> Score:
        """Return the score of an architecture."""
        if genotype not in self._scores:
            self._scores[genotype] = self._benchmark.query(genotype, self._data, self._epochs)
        return self._scores[genotype]


def replay(
    strategy: Strategy, decisions: ArchitectureDecisions, table: Table, budget: BudgetConfig, seed: int
) -> Replay:
    """Run one search to the end of its budget.

    Raises:
        ValueError: where the budget is too small for one query.
    """
    search, best, queries, seconds = strategy.start(decisions), None, 0, 0.0
    while budget.trials is None or queries < budget.trials:
        point = search.ask(Random(f"{seed}:{queries}"))
        genotype = decisions.genotype(point)
        score = table.score(genotype)
        if budget.seconds is not None and seconds + score.seconds > budget.seconds:
            break
        queries, seconds, reward = queries + 1, seconds + score.seconds, score.values["valid_accuracy"]
        search.tell(point, reward)
        if best is None or reward > best[0]:
            best = reward, genotype
    if best is None:
        raise ValueError("the budget is too small for one query")
    return Replay(best[1], best[0], queries, seconds)
