"""Searches for several objectives on a benchmark, replayed: how much of the exact Pareto set many seeds find.

A search is judged by what its Pareto set by validation accuracy has of the exact one's hypervolume, both with their
accuracies on the test split. Accuracy is divided by the best one, costs by their range, and the reference is accuracy 0
at the largest costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

from rich.console import Console
from rich.progress import track

from darts.benchmarks.protocol import Score
from darts.blackbox.objectives import Goals
from darts.blackbox.pareto.fronts import Outcome, Values, front_of, scaled_hypervolume
from darts.blackbox.points import ArchitectureDecisions, every
from darts.blackbox.replay import Table, queries_of
from darts.blackbox.strategies import Strategy
from darts.config.blackbox import BudgetConfig
from darts.config.objectives import OBJECTIVES
from darts.errors import UserError
from genotypes import Genotype


@dataclass(frozen=True)
class ParetoReplays:
    """Searches of many seeds.

    Attributes:
        points: of the exact Pareto set, by test accuracy.
        hypervolume: of it.
        shares: of that hypervolume, one for each search.
        found: points of each search's Pareto set.
        queries: architectures that each search looked up.
    """

    points: int
    hypervolume: float
    shares: Sequence[float]
    found: Sequence[int]
    queries: Sequence[int]

    def lines(self) -> Iterator[str]:
        """Yield what was found, in words."""
        yield f"{len(self.queries)} searches, {mean(self.queries):.1f} queries each"
        spread = f" ± {100 * stdev(self.shares):.2f}" if len(self.shares) > 1 else ""
        exact = f"the exact Pareto set's ({self.points} points, {self.hypervolume:.4f}), by test accuracy"
        yield f"hypervolume {100 * mean(self.shares):.2f}{spread} % of {exact}; {mean(self.found):.1f} points"


def replay_pareto(
    strategy: Strategy,
    decisions: ArchitectureDecisions,
    table: Table,
    goals: Goals,
    budget: BudgetConfig,
    seeds: range,
    console: Console,
) -> ParetoReplays:
    """Search with each seed, and compare with the Pareto set of all architectures within the limits.

    Raises:
        UserError: where no architecture is within the limits, or the budget is too small for one query.
    """
    exact = ExactFront(every_score(decisions, table), goals)
    each = track(seeds, "searches", console=console, transient=True)
    searches = [searched(strategy, decisions, table, goals, budget, seed) for seed in each]
    judged = [exact.share(scores) for scores in searches]
    return ParetoReplays(
        exact.points,
        exact.hypervolume,
        shares=[share for share, _ in judged],
        found=[points for _, points in judged],
        queries=[len(scores) for scores in searches],
    )


def every_score(decisions: ArchitectureDecisions, table: Table) -> list[Score]:
    """Return the scores of all architectures of a table."""
    return [table.score(decisions.genotype(point)) for point in every(decisions)]


class ExactFront:
    """The Pareto set of all architectures of a table that are within limits.

    Args:
        scores: of all architectures.
        goals: whose objectives and limits count.
        split: test or valid, by whose accuracy architectures are judged.

    Raises:
        UserError: where no architecture is within the limits.

    Attributes:
        values: oriented values of its points, the best by the first objective first.
        points: number of them.
        hypervolume: that they dominate.
    """

    def __init__(self, scores: Sequence[Score], goals: Goals, split: Literal["test", "valid"] = "test"):
        self._goals, self._split = goals, split
        truth = [self._judged(score) for score in scores if not goals.infeasible(score.values)]
        if not truth:
            raise UserError("`limits`: no architecture of the table is within them")
        columns = dict(zip(goals.objectives, zip(*truth), strict=True))
        self._best = tuple(max(values) for values in columns.values())
        self._worst = tuple(0.0 if OBJECTIVES[name].maximized else min(values) for name, values in columns.items())
        self.values = [truth[index] for index in front_of([Outcome(values) for values in truth])]
        self.points, self.hypervolume = len(self.values), self._volume(self.values)

    def share(self, scores: Sequence[Score]) -> tuple[float, int]:
        """Return what architectures have of the hypervolume, and how many they are, without those that are dominated
        or over a limit.

        Which are dominated is decided by validation accuracy; the hypervolume is that of the split's accuracies.
        """
        front = front_of([_outcome(self._goals, score) for score in scores])
        return self._volume([self._judged(scores[index]) for index in front]) / self.hypervolume, len(front)

    def _judged(self, score: Score) -> Values:
        """Return the oriented values of an architecture, with its accuracy on the split."""
        judged = {**score.values, "valid_accuracy": score.values[f"{self._split}_accuracy"]}
        return self._goals.oriented(Score(judged, score.seconds))

    def _volume(self, values: Sequence[Values]) -> float:
        return scaled_hypervolume(values, self._worst, self._best)


def searched(
    strategy: Strategy, decisions: ArchitectureDecisions, table: Table, goals: Goals, budget: BudgetConfig, seed: int
) -> list[Score]:
    """Run one search to the end of its budget, and return all that it looked up; raise what ``queries_of`` raises.

    Costs are known before a query, as they are before a training: an architecture over a limit is not looked up, and
    costs nothing.
    """

    def price(genotype: Genotype) -> Outcome | None:
        return goals.untrained(goals.costs_in(table.score(genotype).values))

    priced = decisions.priced(price)
    found = queries_of(strategy, priced, table, budget, seed, lambda query: _outcome(goals, query.score))
    return [query.score for query in found]


def _outcome(goals: Goals, score: Score) -> Outcome:
    return Outcome(goals.oriented(score), goals.violation(score.values))
