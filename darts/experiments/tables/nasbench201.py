"""NAS-Bench-201's published results, rerun on its table and printed beside ours.

    python -m darts.experiments reproduce nasbench201 --benchmark.file nb201.csv                 500 seeds
    python -m darts.experiments reproduce nasbench201 --benchmark.file nb201.csv --json FILE     and write the figures
    python -m darts.experiments reproduce nasbench201 --benchmark.file nb201.csv --parts oracles surrogates

``seconds``, strategies without gradients under a budget of recorded time, and ``one_shot``, searches through a supernet
(Dong and Yang 2020, as quoted in Mellor et al. 2021, table 2a); ``oracles``, exact figures of the table; ``queries``,
strategies by the number of queries until the best is found; ``surrogates`` and ``ensembles``, strategies with surrogate
models within 150 queries; ``pareto``, searches for accuracy and few multiply-adds; ``latency``, within a latency.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from darts.benchmarks.nasbench201 import DATA, NASBench201
from darts.blackbox.evaluators.benchmark import CIFAR10_SHAPE, lookup_problem
from darts.blackbox.objectives import Goals
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.run import Replays, run_replays
from darts.config import BenchmarkConfig, BlackboxConfig, check
from darts.config.command_line import parse_command
from darts.config.ranges import POSITIVE
from darts.errors import UserError
from darts.experiments.estimates import spread
from darts.experiments.tables.latency_targets import GOALS, LatencyTargets, front_rows
from darts.experiments.tables.one_shot import OneShotOptions, one_shot_rows, one_shot_table, with_spread
from darts.experiments.tables.oracles import oracles
from darts.experiments.tables.query_curves import Accuracies
from darts.experiments.tables.query_curves import row_of as query_row
from darts.methods.space_factory import space_from
from darts.recipes import BLACKBOX_RECIPES
from genotypes.atomic_write import require_writable, write_atomically
from supernet.bench.machine import machine

Figures = dict[str, tuple[float, float]]
"""Data set -> mean and standard deviation of the test accuracy, in percent."""

PUBLISHED: dict[str, Figures] = {
    "random_nasbench201": {"cifar10": (93.70, 0.36), "cifar100": (71.04, 1.07), "imagenet16": (44.57, 1.25)},
    "evolution_nasbench201": {"cifar10": (93.92, 0.30), "cifar100": (71.84, 0.99), "imagenet16": (45.54, 1.03)},
    "reinforce_nasbench201": {"cifar10": (93.85, 0.37), "cifar100": (71.71, 1.09), "imagenet16": (45.24, 1.18)},
    "local_search_nasbench201": {},
    "genetic_nasbench201": {},
}
"""Recipe -> published figures, where there are some."""

QUERIED = (
    "random",
    "evolution:population=30,sample=10",
    "evolution:population=10,sample=3",
    "local_search:first_improvement=true",
    "local_search:first_improvement=true,starts=10",
    "local_search",
)
"""Strategies by the number of queries."""

SURROGATES = (
    "local_search:first_improvement=true",
    "bananas:surrogate=gaussian_process,encoding=one_hot,batch=5",
    "surrogate_descent",
)
"""Strategies with surrogate models, and local search beside them."""

ENSEMBLES = ("bananas", "bananas:encoding=one_hot")
"""Surrogate models that train for seconds: a tenth of the searches."""

SURROGATE_QUERIES = 150
"""Queries of a search with a surrogate model."""

MULTIPLY_ADDS = Goals(("accuracy", "multiply_adds"))
"""Of ``pareto``."""

PROGRAM = "python -m darts.experiments reproduce nasbench201"


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    parts: tuple[
        Literal["seconds", "one_shot", "oracles", "queries", "surrogates", "ensembles", "pareto", "latency"], ...
    ] = ("seconds", "one_shot")
    """Which tables."""
    seeds: Annotated[int, POSITIVE] = 500
    """Searches of each strategy."""
    surrogate_seeds: Annotated[int, POSITIVE] = 100
    """Searches of strategies with surrogate models, which take seconds each, by the number of queries."""
    one_shot: OneShotOptions = field(default_factory=OneShotOptions)
    json: Path | None = None
    """File to write the figures to."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Replay every strategy, and print a row as soon as it is known."""
    options = parse_command(Options, arguments, prog=PROGRAM, description=__doc__)
    command = ["python", "-m", "darts.experiments", "reproduce", "nasbench201", *arguments]
    if options.json is not None:
        require_writable(options.json)
    content: dict[str, Any] = {"machine": machine(torch.device("cpu")), "command": command}
    for part, rows in _results(options, console):
        content[part] = rows
        if options.json is not None:
            write_atomically(options.json, (json.dumps(content, indent=2) + "\n").encode())


def _results(options: Options, console: Console) -> Iterator[tuple[str, Any]]:
    """Yield the rows of each part, as far as they are known, and print them as they come."""
    if "seconds" in options.parts:
        rows = []
        for recipe in PUBLISHED:
            rows.append(row_of(recipe, options, console))
            console.print(_table(rows))
            yield "rows", rows
    if "one_shot" in options.parts:
        rows = one_shot_rows(options.one_shot, _benchmark(options), console)
        console.print(one_shot_table(rows))
        yield "one_shot", rows
    if "oracles" in options.parts:
        found = {data: oracles(_benchmark(options), data) for data in DATA}
        console.print(_columns(found))
        yield "oracles", found
    for part, rows_of in ROWS.items():
        if part in options.parts:
            rows = []
            for row in rows_of(options, console):
                rows.append(row)
                console.print(in_words(row), soft_wrap=True, highlight=False)
                yield part, rows


def _benchmark(options: Options) -> NASBench201:
    if options.benchmark.file is None:
        raise UserError("`benchmark.file` is not given; it is the table in which architectures are looked up")
    return NASBench201(options.benchmark.file)


def _decisions() -> ArchitectureDecisions:
    return ArchitectureDecisions(space_from(BLACKBOX_RECIPES["random_nasbench201"](), shape=CIFAR10_SHAPE))


def _queries(options: Options, console: Console) -> Iterator[dict[str, Any]]:
    return _by_queries(options, QUERIED, DATA, seeds=options.seeds, until_found=True)


def _surrogates(options: Options, console: Console) -> Iterator[dict[str, Any]]:
    return _by_queries(options, SURROGATES, DATA[:2], seeds=options.surrogate_seeds, queries=SURROGATE_QUERIES)


def _ensembles(options: Options, console: Console) -> Iterator[dict[str, Any]]:
    seeds = max(2, options.surrogate_seeds // 10)
    return _by_queries(options, ENSEMBLES, DATA[:2], seeds=seeds, queries=SURROGATE_QUERIES)


def _by_queries(
    options: Options, strategies: Sequence[str], data: Sequence[str], *, until_found: bool = False, **limits: int
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each strategy on each data set; random search does not continue until the best is found."""
    benchmark, decisions = _benchmark(options), _decisions()
    known = [Accuracies(benchmark, decisions, each) for each in data]
    for text in strategies:
        for accuracies in known:
            yield query_row(text, accuracies, until_found=until_found and text != "random", **limits)


def _pareto(options: Options, console: Console) -> Iterator[dict[str, Any]]:
    benchmark, decisions = _benchmark(options), _decisions()
    for data in DATA:
        yield from front_rows(benchmark, decisions, data, MULTIPLY_ADDS, options.seeds, console)


def _latency(options: Options, console: Console) -> Iterator[dict[str, Any]]:
    benchmark, decisions = _benchmark(options), _decisions()
    for data in DATA:
        yield from front_rows(benchmark, decisions, data, GOALS, options.seeds, console)
        yield from LatencyTargets(benchmark, decisions, data, console).rows(options.seeds)


ROWS: dict[str, Callable[[Options, Console], Iterator[dict[str, Any]]]] = {
    "queries": _queries,
    "surrogates": _surrogates,
    "ensembles": _ensembles,
    "pareto": _pareto,
    "latency": _latency,
}
"""Part -> its rows, each printed as soon as it is known."""


def in_words(row: Mapping[str, Any]) -> str:
    """Return a row of ``ROWS`` in words; accuracies and shares of a hypervolume in percent."""
    seeds = f", {row['seeds']} searches" if "seeds" in row else ""
    within = " within limits" if row.get("kind") == "limits" else ""
    about = f"{row['data']}, {row.get('strategy', row.get('kind'))}{within}{seeds}"
    if "test" in row:
        curve = ", ".join(f"{mean:.2f} after {budget}" for budget, (mean, _) in row["test"].items())
        until = row.get("queries_until_found")
        return f"{about}: test {curve}" + (f"; {until[0]:.0f} queries until the best is found" if until else "")
    if row["kind"] == "front":
        least = f" (least {100 * row['least']:.1f})" if "least" in row else ""
        valid = row.get("share_by_validation")
        by_validation = f"; {100 * valid:.1f} by validation" if valid is not None else ""
        return f"{about}: {100 * row['share']:.1f}{least} of the hypervolume of {row['points']} points{by_validation}"
    shares = ", ".join(
        f"{100 * share['share']:.1f} within {target:.1f} ms" for target, share in zip(row["targets_ms"], row["shares"])
    )
    return f"{about}: {shares}; latencies in order in {row['monotone']}"


def _columns(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return exact figures, a row each, as a table for the terminal."""
    table = Table("exact figure", *found)
    for name in next(iter(found.values())):
        values = [column[name] for column in found.values()]
        shown = [
            " ± ".join(f"{v:.3f}" for v in value) if isinstance(value, list) else f"{value:.6g}" for value in values
        ]
        table.add_row(name.replace("_", " "), *shown)
    return table


def row_of(recipe: str, options: Options, console: Console) -> dict[str, Any]:
    """Replay a recipe with every seed.

    Raises:
        UserError: where there is no table, or it is no table of the benchmark.
    """
    config = BLACKBOX_RECIPES[recipe]()
    assert isinstance(config, BlackboxConfig)
    config = replace(config, seeds=options.seeds, benchmark=replace(config.benchmark, file=options.benchmark.file))
    check(config)
    began = time.monotonic()
    replays = run_replays(config, lookup_problem(config), console)
    assert isinstance(replays, Replays)
    return {
        "recipe": recipe,
        "strategy": config.strategy,
        "seeds": options.seeds,
        "queries": round(mean(replays.queries), 1),
        "seconds": round(time.monotonic() - began, 1),
        "test": {data: [round(100 * mean(a), 2), round(100 * spread(a), 2)] for data, a in replays.test.items()},
        "published": {data: list(figures) for data, figures in PUBLISHED[recipe].items()},
    }


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    sets = list(rows[0]["test"])
    table = Table("recipe", "queries", *(f"{data}, ours" for data in sets), *(f"{data}, published" for data in sets))
    for row in rows:
        ours, published = ([with_spread(row[kind].get(data)) for data in sets] for kind in ("test", "published"))
        table.add_row(row["recipe"], f"{row['queries']:.1f}", *ours, *published)
    return table
