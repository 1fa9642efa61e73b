"""Strategies on NAS-Bench-201's table by the number of queries, with the validation accuracy of the long training.

A query is an architecture that was not looked up before. What counts is the test accuracy of the best by validation
after so many queries, and how many queries it takes until the architecture of the highest validation accuracy is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from darts.benchmarks.nasbench201 import NASBench201
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.replay import replay
from darts.blackbox.strategies import STRATEGIES, Strategy
from darts.blackbox.strategies.strategy import Key, key_of
from darts.experiments.estimates import spread
from darts.methods.compose import component

BUDGETS = (100, 150, 300, 500)
"""Numbers of queries at which the test accuracy is reported."""

MAX_ASKED = 20_000
"""Points that a search asks for, repeats included, after which it has not found the best."""


@dataclass(frozen=True)
class Curve:
    """One search.

    Attributes:
        test: test accuracy of the best after each of ``BUDGETS`` queries, in percent; as far as the search went.
        found: queries until the best-validation architecture was found; None where it was not.
    """

    test: tuple[float, ...]
    found: int | None


@dataclass(frozen=True)
class Known:
    """Validation and test accuracy of a point, in percent."""

    key: Key
    valid: float
    test: float


class Accuracies:
    """Validation and test accuracy of each point, in percent, looked up once."""

    def __init__(self, benchmark: NASBench201, decisions: ArchitectureDecisions, data: str):
        self.benchmark, self.decisions, self.data = benchmark, decisions, data
        self.best = benchmark.table.descending(f"{data}_valid_acc")[0]
        self._known: dict[Key, Known] = {}

    def of(self, point: Mapping[str, str]) -> Known:
        """Return the accuracies of a point."""
        key = key_of(point)
        if key not in self._known:
            line, table = str(self.decisions.genotype(point)), self.benchmark.table
            valid, test = (table.value(line, f"{self.data}_{split}_acc") for split in ("valid", "test"))
            self._known[key] = Known(key, valid, test)
        return self._known[key]


def searched(strategy: Strategy, accuracies: Accuracies, seed: int, queries: int, until_found: bool) -> Curve:
    """Search for some queries, or on until the best is found."""
    seen, best, reached = set[Key](), (-1.0, 0.0), list[float]()
    found = None
    asked = replay(strategy, accuracies.decisions, seed, accuracies.of, lambda known: known.valid / 100)
    for known in islice(asked, MAX_ASKED):
        if known.key in seen:
            continue
        seen.add(known.key)
        best = max(best, (known.valid, known.test), key=lambda pair: pair[0])
        if found is None and known.valid >= accuracies.best:
            found = len(seen)
        if len(seen) in BUDGETS:
            reached.append(best[1])
        if len(seen) >= queries and (found is not None or not until_found):
            break
    return Curve(tuple(reached), found)


def row_of(
    text: str, accuracies: Accuracies, *, seeds: int, queries: int = max(BUDGETS), until_found: bool = False
) -> dict[str, Any]:
    """Return the figures of a strategy, given with its options, over some seeds on a data set."""
    strategy = component("`strategy`", STRATEGIES, text)
    curves = [searched(strategy, accuracies, seed, queries, until_found) for seed in range(seeds)]
    row: dict[str, Any] = {"strategy": text, "data": accuracies.data, "seeds": seeds, "test": {}}
    for place, budget in enumerate(each for each in BUDGETS if each <= queries):
        row["test"][str(budget)] = _mean_and_spread([curve.test[place] for curve in curves])
    for budget in BUDGETS:
        if budget <= queries:
            hits = [curve.found is not None and curve.found <= budget for curve in curves]
            row.setdefault("share_found", {})[str(budget)] = round(sum(hits) / seeds, 3)
    counts = [curve.found for curve in curves if curve.found is not None]
    if until_found and len(counts) == seeds:
        row["queries_until_found"] = _mean_and_spread(counts)
    return row


def _mean_and_spread(values: Sequence[float]) -> list[float]:
    return [round(fmean(values), 3), round(spread(values), 3)]
