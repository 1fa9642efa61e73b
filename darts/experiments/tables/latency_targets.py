"""Searches for accuracy within a latency on a benchmark: the table's accuracies and latencies are the truth.

Every search looks up 500 architectures and is judged by its share of the exact Pareto set's hypervolume: ``front`` of
the whole set (strategies without gradients), which serves other objectives too; the others, for each of five latencies,
of the set within that latency. ``limits`` is a strategy without gradients with a limit (constrained domination).
``gradients`` descends the logits of independent decisions, four times, with targets from the limit down: the gradient
of the expected accuracy is estimated by the score function, one architecture a step (Williams 1992); that of the
expected latency is exact, of a hinge above the target (``supernet.cost.additive.Expectation``), where the latency of
each candidate is fitted to those of the first hundred architectures, which are random.

Axes: ``n`` architecture, ``e`` edge, ``o`` candidate, ``d`` entry of a one-hot encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from darts.benchmarks.protocol import Benchmark, Score
from darts.blackbox.objectives import Goals
from darts.blackbox.pareto.replay import ExactFront, every_score, searched
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.replay import Table
from darts.blackbox.strategies import NSGA2, ParetoLocalSearch, RandomSearch, Strategy
from darts.config.blackbox import BudgetConfig
from darts.experiments.estimates import spread
from supernet import architectures
from supernet.choice import Picks
from supernet.cost.additive import AdditiveCost, Expectation
from supernet.spaces.space import SearchSpace

GOALS = Goals(("accuracy", "latency"))
QUERIES, TARGETS = 500, 5
FITTED = 100
"""Random architectures to whose latencies those of the candidates are fitted."""

DESCENTS, LEARNING_RATE, WEIGHT, DECAY, LARGEST = 4, 0.2, 100.0, 0.9, 5.0
"""Descents of a search, with falling targets; Adam's learning rate; the weight of the hinge beside the accuracy in
percent; the decay of the baseline; the largest advantage over it that counts."""

STRATEGIES: dict[str, Strategy] = {
    "pareto_local_search": ParetoLocalSearch(),
    "nsga2:population=20": NSGA2(population=20),
    "random": RandomSearch(),
}
LIMITED = "pareto_local_search", "nsga2:population=20"
"""Strategies that search within a limit, too."""


def front_rows(
    benchmark: Benchmark, decisions: ArchitectureDecisions, data: str, goals: Goals, seeds: int, console: Console
) -> Iterator[dict[str, Any]]:
    """Yield what architectures have of the whole exact Pareto set's hypervolume: of each strategy, and those that
    every architecture's validation accuracy would choose, which no search can be expected to exceed.

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
        self.space, self.table = decisions.space, Table(benchmark, data, benchmark.lengths[0])
        self._everything = every_score(decisions, self.table)
        latencies = [-latency for _, latency in ExactFront(self._everything, GOALS).values]
        low, high = min(latencies), max(latencies)
        self.targets = [low + (high - low) * (step + 1) / TARGETS for step in range(TARGETS)]

    def rows(self, seeds: int) -> Iterator[dict[str, Any]]:
        """Yield the figures of both kinds of search, over seeds from 0 on."""
        about = {"data": self.data, "seeds": seeds, "queries": QUERIES}
        for text in LIMITED:
            yield {"kind": "limits", "strategy": text, **about, **self._by_target(partial(self._limited, text), seeds)}
        yield {"kind": "gradients", **about, **self._by_target(self._descended, seeds)}

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

    def _descended(self, target: float, seed: int) -> list[Score]:
        """Return all that the descent of the logits looks up."""
        generator = torch.Generator().manual_seed(seed)
        drawn = [architectures.sample(self.space, generator) for _ in range(FITTED)]
        scores = [self._score(picks) for picks in drawn]
        cost = fitted_latency(self.space, drawn, [score.values["latency_ms"] for score in scores])
        least = min(score.values["latency_ms"] for score in scores)
        accuracy = fmean(score.values["valid_accuracy"] for score in scores)
        for descent in range(DESCENTS):
            aim = target - (target - least) * descent / DESCENTS
            scores += self._one_descent(aim, cost, 100 * accuracy, generator)
        return scores

    def _one_descent(
        self, target: float, cost: AdditiveCost, baseline: float, generator: torch.Generator
    ) -> list[Score]:
        """Return what one descent of the logits looks up, from equal gates on, with one target."""
        (table,) = self.space.tables
        scores: list[Score] = []
        logits = torch.zeros(table.rows, len(table.candidates), requires_grad=True)
        latency, optimizer = Expectation(cost, self.space.tables, logits), torch.optim.Adam([logits], lr=LEARNING_RATE)
        for _ in range((QUERIES - FITTED) // DESCENTS):
            gates = logits.softmax(1)
            columns = torch.multinomial(gates.detach(), 1, generator=generator)  # (e, 1)
            picks = {table.label: tuple(enumerate(table.candidates[c] for c in columns.squeeze(1).tolist()))}
            scores.append(self._score(picks))
            reward = 100 * scores[-1].values["valid_accuracy"]
            advantage = max(-LARGEST, min(LARGEST, reward - baseline))
            hinge = (latency({table.label: gates}) / target - 1).clamp_min(0)
            optimizer.zero_grad()
            (WEIGHT * hinge - advantage * gates.gather(1, columns).log().sum()).backward()
            optimizer.step()
            baseline = DECAY * baseline + (1 - DECAY) * reward
        return scores

    def _score(self, picks: Picks) -> Score:
        return self.table.score(self.space.derive(picks))


def _within(target: float) -> Goals:
    return replace(GOALS, limits={"latency": target})


def _best(scores: Sequence[Score], target: float) -> Score:
    """Return the best by validation accuracy within a target; the fastest where there is none."""
    within = [score for score in scores if score.values["latency_ms"] <= target]
    fastest = min(scores, key=lambda score: score.values["latency_ms"])
    return max(within or [fastest], key=lambda score: score.values["valid_accuracy"])


def fitted_latency(space: SearchSpace, drawn: Sequence[Picks], latencies: Sequence[float]) -> AdditiveCost:
    """Return the sum over candidates that fits measured latencies best (least squares of the smallest norm).

    Args:
        space: of the architectures.
        drawn: architectures, ``n``.
        latencies: of these, in milliseconds.
    """
    encoded = torch.stack([architectures.encode_one_hot(space, picks) for picks in drawn]).double()  # (n, d)
    ones: Tensor = torch.ones(len(drawn), 1, dtype=torch.float64)
    solved = torch.linalg.lstsq(
        torch.cat([encoded, ones], 1), torch.tensor(latencies, dtype=torch.float64)[:, None], driver="gelsd"
    )
    *weights, offset = solved.solution.squeeze(1).tolist()
    pairs = [(t.label, row, name) for t in space.tables for row in range(t.rows) for name in t.candidates]
    return AdditiveCost(offset, {(pair,): weight for pair, weight in zip(pairs, weights)})


def _shares(shares: Sequence[float]) -> dict[str, Any]:
    """Return mean, deviation and least of the shares of the exact hypervolume."""
    return {"share": round(fmean(shares), 4), "share_std": round(spread(shares), 4), "least": round(min(shares), 4)}
