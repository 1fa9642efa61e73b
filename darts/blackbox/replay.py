"""Searches on a benchmark, replayed: many seeds of a strategy in seconds, without storage and without training.

The protocol of NAS-Bench-201 (Dong and Yang 2020): the reward is the validation accuracy of the short training; a query
costs the seconds that the benchmark has recorded for it; a search ends before the query that would exceed its budget;
what counts is the test accuracy, after the long training, of the architecture of the best reward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, TypeVar

from darts.benchmarks.protocol import Benchmark, Score
from darts.blackbox.points import ArchitectureDecisions, Decisions, Point
from darts.blackbox.records import MAX_INFEASIBLE
from darts.blackbox.strategies import Strategy
from darts.config.blackbox import BudgetConfig
from darts.errors import UserError
from genotypes import Genotype

Found = TypeVar("Found")


@dataclass(frozen=True)
class Query:
    """An architecture that a search has looked up, and its score."""

    genotype: Genotype
    score: Score


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
    strategy: Strategy,
    decisions: Decisions,
    seed: int,
    look_up: Callable[[Point], Found],
    outcome: Callable[[Found], Any],
) -> Iterator[Found]:
    """Run a search, and yield what was found of each point that it asks for, but those known to be over a limit.

    It has no end before the last ``MAX_INFEASIBLE`` points are all over a limit.

    Args:
        outcome: of what was found, as ``Search.tell`` takes it.
    """
    search, over = strategy.start(decisions), 0
    for number in count():
        point = search.ask(Random(f"{seed}:{number}"))
        known = decisions.untrained(point)
        if known is not None and known.violation:
            over_limit: Any = known if strategy.several_objectives else None
            search.tell(point, over_limit)
            over += 1
            if over == MAX_INFEASIBLE:
                return
            continue
        found, over = look_up(point), 0
        search.tell(point, outcome(found))
        yield found


def queries_of(
    strategy: Strategy,
    decisions: ArchitectureDecisions,
    table: Table,
    budget: BudgetConfig,
    seed: int,
    outcome: Callable[[Query], Any],
) -> list[Query]:
    """Return what a search looks up until the trials or the seconds of its budget are spent.

    Raises:
        UserError: where the budget is too small for one query, or no architecture within the limits is found.
    """

    def look_up(point: Point) -> Query:
        genotype = decisions.genotype(point)
        return Query(genotype, table.score(genotype))

    found: list[Query] = []
    seconds = 0.0
    for query in replay(strategy, decisions, seed, look_up, outcome):
        seconds += query.score.seconds
        if budget.seconds is not None and seconds > budget.seconds:
            break
        found.append(query)
        if budget.trials is not None and len(found) >= budget.trials:
            break
    if not found and not seconds:
        raise UserError(f"`limits`: each of the first {MAX_INFEASIBLE} architectures exceeds one")
    if not found:
        raise UserError(f"`budget.seconds` is {budget.seconds}: the budget is too small for one query")
    return found
