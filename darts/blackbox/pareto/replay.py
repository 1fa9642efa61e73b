"""Searches for several objectives on a benchmark, replayed: how much of the exact Pareto set many seeds find.

A search is judged by what its Pareto set by validation accuracy has of the exact one's hypervolume, both with their
accuracies on the test split. Accuracy is divided by the best one, costs by their range, and the reference is accuracy 0
at the largest costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean, stdev

from rich.console import Console
from rich.progress import track

from darts.benchmarks.protocol import Score
from darts.blackbox.objectives import Goals
from darts.blackbox.pareto.fronts import Outcome, Values, front_of, hypervolume
from darts.blackbox.points import ArchitectureDecisions, every
from darts.blackbox.replay import Table
from darts.blackbox.strategies import Strategy
from darts.config.blackbox import BudgetConfig
from darts.config.objectives import MAXIMIZED
from darts.errors import UserError


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
    """Search with each seed, and compare with the Pareto set of all architectures.

    Raises:
        UserError: where there are limits, or the budget is too small for one query.
    """
    if goals.limits:
        raise UserError("`limits` apply to one search; leave them out, or set `seeds` to 1")
    truth = [_tested(goals, table.score(decisions.genotype(point))) for point in every(decisions)]
    best = [max(values) for values in zip(*truth)]
    worst = [0.0 if MAXIMIZED[name] else min(values) for name, values in zip(goals.objectives, zip(*truth))]

    def volume(values: Sequence[Values]) -> float:
        scaled = [tuple((v - low) / (high - low) for v, low, high in zip(each, worst, best)) for each in values]
        return hypervolume(scaled, tuple(0.0 for _ in best))

    exact = [truth[index] for index in front_of([Outcome(values) for values in truth])]
    whole = volume(exact)
    shares, found, queries = [], [], []
    for seed in track(seeds, "searches", console=console, transient=True):
        scores = _search(strategy, decisions, table, goals, budget, seed)
        if not scores:
            raise UserError(f"`budget.seconds` is {budget.seconds}: the budget is too small for one query")
        front = front_of([Outcome(_oriented(goals, score)) for score in scores])
        shares.append(volume([_tested(goals, scores[index]) for index in front]) / whole)
        found.append(len(front))
        queries.append(len(scores))
    return ParetoReplays(len(exact), whole, shares, found, queries)


def _search(
    strategy: Strategy, decisions: ArchitectureDecisions, table: Table, goals: Goals, budget: BudgetConfig, seed: int
) -> list[Score]:
    """Run one search to the end of its budget, and return all that it looked up."""
    search, seconds = strategy.start(decisions), 0.0
    scores: list[Score] = []
    while budget.trials is None or len(scores) < budget.trials:
        point = search.ask(Random(f"{seed}:{len(scores)}"))
        score = table.score(decisions.genotype(point))
        seconds += score.seconds
        if budget.seconds is not None and seconds > budget.seconds:
            break
        scores.append(score)
        search.tell(point, Outcome(_oriented(goals, score)))  # type: ignore[arg-type]
    return scores


def _oriented(goals: Goals, score: Score) -> Values:
    return tuple(
        value if MAXIMIZED[name] else -value for name, value in zip(goals.objectives, goals.values(score), strict=True)
    )


def _tested(goals: Goals, score: Score) -> Values:
    """Return the oriented values of an architecture, with its accuracy on the test split."""
    tested = {**score.values, "valid_accuracy": score.values["test_accuracy"]}
    return _oriented(goals, Score(tested, score.seconds))
