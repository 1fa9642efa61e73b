"""Searches for accuracy within a latency on a benchmark: the table's accuracies and latencies are the truth.

Every search looks up 500 architectures and is judged by its share of the exact Pareto set's hypervolume: ``front`` of
the whole set, which serves other objectives too; ``limits``, for each of five latencies, of the set within that
latency, which the strategy is told as a limit (constrained domination).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.progress import track

from darts.benchmarks.protocol import Benchmark, Score
from darts.blackbox.objectives import Goals
from darts.blackbox.pareto.replay import ExactFront, every_score, searched
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.replay import Table
from darts.blackbox.strategies import NSGA2, ParetoLocalSearch, RandomSearch, Strategy, SurrogateDescent
from darts.config.blackbox import BudgetConfig
from darts.experiments.estimates import spread

GOALS = Goals(("accuracy", "latency"))
QUERIES, TARGETS = 500, 5

STRATEGIES: dict[str, Strategy] = {
    "surrogate_descent:first=100,steps=40": SurrogateDescent(first=100, steps=40),
    "pareto_local_search": ParetoLocalSearch(),
    "nsga2:population=20": NSGA2(population=20),
    "random": RandomSearch(),
}
LIMITED = tuple(text for text in STRATEGIES if text != "random")
"""Strategies that search within a limit, too."""


def front_rows(
    benchmark: Benchmark, decisions: ArchitectureDecisions, data: str, goals: Goals, seeds: int, console: Console
) -> Iterator[dict[str, Any]]:
    """Yield what architectures have of the whole exact Pareto set's hypervolume: those of each strategy, and all that
    there are, chosen by validation accuracy, which no search can be expected to exceed.

    ``share`` is by test accuracy, ``share_by_validation`` by that which is searched.
    """
    table, budget = Table(benchmark, data, benchmark.lengths[0]), BudgetConfig(trials=QUERIES)
    everything = every_score(decisions, table)
    exact, searchable = ExactFront(everything, goals), ExactFront(everything, goals, "valid")
    about = {"kind": "front", "data": data, "points": exact.points}
    for text, strategy in STRATEGIES.items():
        each = track(range(seeds), f"{data}, {text}", console=console, transient=True)
        found = [searched(strategy, decisions, table, goals, budget, seed) for seed in each]
        shares = _shares([exact.share(scores)[0] for scores in found])
        by_validation = round(fmean(searchable.share(scores)[0] for scores in found), 4)
        about_search = {"strategy": text, "seeds": seeds, "queries": QUERIES}
        yield {**about, **about_search, **shares, "share_by_validation": by_validation}
    yield {**about, "strategy": "every architecture", "share": round(exact.share(everything)[0], 4)}


class LatencyTargets:
    """The searches on one data set.

    Args:
        benchmark: the table.
        decisions: of its space.
        data: name of the data set.
        console: shows progress.

    Attributes:
        targets: latencies in milliseconds, evenly from a fifth of the range of the exact Pareto set's to its largest.
    """

    def __init__(self, benchmark: Benchmark, decisions: ArchitectureDecisions, data: str, console: Console):
        self.data, self.decisions, self.console = data, decisions, console
        self.table = Table(benchmark, data, benchmark.lengths[0])
        self._everything = every_score(decisions, self.table)
        latencies = [-latency for _, latency in ExactFront(self._everything, GOALS).values]
        low, high = min(latencies), max(latencies)
        self.targets = [low + (high - low) * (step + 1) / TARGETS for step in range(TARGETS)]

    def rows(self, seeds: int) -> Iterator[dict[str, Any]]:
        """Yield the figures of each strategy, over seeds from 0 on."""
        about = {"data": self.data, "seeds": seeds, "queries": QUERIES}
        for text in LIMITED:
            yield {"kind": "limits", "strategy": text, **about, **self._by_target(partial(self._limited, text), seeds)}

    def _by_target(self, search: Callable[[float, int], list[Score]], seeds: int) -> dict[str, Any]:
        """Return the figures of searches for each of the targets, a list for each: means over the seeds."""
        shares, chosen = [], []
        for target in track(self.targets, "targets", console=self.console, transient=True):
            exact = ExactFront(self._everything, _within(target))
            scores = [search(target, seed) for seed in range(seeds)]
            shares.append([exact.share(each)[0] for each in scores])
            chosen.append([_best(each, target) for each in scores])
        latencies = list(zip(*([score.values["latency_ms"] for score in each] for each in chosen)))
        return {
            "targets_ms": [round(target, 3) for target in self.targets],
            "shares": [_shares(each) for each in shares],
            "latency_ms": [round(fmean(column), 3) for column in zip(*latencies)],
            "test_accuracy": [round(100 * fmean(s.values["test_accuracy"] for s in each), 2) for each in chosen],
            "monotone": sum(all(a <= b for a, b in pairwise(each)) for each in latencies),
            "strictly_monotone": sum(all(a < b for a, b in pairwise(each)) for each in latencies),
        }

    def _limited(self, text: str, target: float, seed: int) -> list[Score]:
        """Return all that a strategy looks up within a limit."""
        budget = BudgetConfig(trials=QUERIES)
        return searched(STRATEGIES[text], self.decisions, self.table, _within(target), budget, seed)


def _within(target: float) -> Goals:
    return replace(GOALS, limits={"latency": target})


def _best(scores: Sequence[Score], target: float) -> Score:
    """Return the best by validation accuracy within a target; the fastest where there is none."""
    within = [score for score in scores if score.values["latency_ms"] <= target]
    fastest = min(scores, key=lambda score: score.values["latency_ms"])
    return max(within or [fastest], key=lambda score: score.values["valid_accuracy"])


def _shares(shares: Sequence[float]) -> dict[str, Any]:
    """Return mean, deviation and least of the shares of the exact hypervolume."""
    return {"share": round(fmean(shares), 4), "share_std": round(spread(shares), 4), "least": round(min(shares), 4)}
