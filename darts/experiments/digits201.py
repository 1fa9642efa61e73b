"""Every method judged by the digits benchmark: what is found, beside random architectures and strategies, and how
supernets rank.

    python -m darts.experiments digits201                                  all methods, 10 seeds; continues its file
    python -m darts.experiments digits201 --benchmark.file nb201.csv       and how digits predict CIFAR-10

``searches``: each method, and each strategy without gradients at equal budget, with each seed; with the first
``ranked_seeds`` seeds, how the supernet of some methods ranks architectures. ``strategies``: searches without gradients
on the table, by the number of architectures that they train. ``latency``: searches for accuracy within latencies, by
their shares of the exact Pareto set's hypervolume. ``oracles``: exact figures of the table.

Axes: ``n`` architecture.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau, mannwhitneyu, spearmanr

from darts.benchmarks.digits.table import Digits201
from darts.benchmarks.nasbench201 import NASBench201
from darts.benchmarks.workers import worked_off
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.replay import Query, queries_of
from darts.blackbox.replay import Table as Lookups
from darts.blackbox.strategies import STRATEGIES
from darts.config import BenchmarkConfig
from darts.config.blackbox import BudgetConfig
from darts.config.command_line import parse_command
from darts.config.ranges import NOT_NEGATIVE, POSITIVE, is_number
from darts.errors import UserError
from darts.experiments.estimates import spread
from darts.experiments.judged_search import STRATEGIES as SEARCHES
from darts.experiments.judged_search import UNIFORM, Job, searcher
from darts.experiments.tables.latency_targets import GOALS, LatencyTargets, front_rows
from darts.experiments.tables.oracles import columns, exact_figures, numbered
from darts.methods import METHODS
from darts.methods.compose import component
from darts.report.digits201_page import digits201_page
from genotypes.atomic_write import require_writable, write_atomically
from supernet.bench.machine import machine

STRATEGY_ROWS = (
    "random",
    "local_search:first_improvement=true",
    "evolution:population=10,sample=3",
    "genetic:population=20",
    "reinforce",
    "surrogate_descent",
)
"""Strategies on the table."""

QUERIES = (10, 50, 100, 300)
"""Architectures that a strategy trains."""

KEYS = {"method", "seed", "accuracy", "rank", "regret", "by_epoch", "skips", "collapsed", "ranking", "seconds"}
"""What each row of ``searches`` has at least."""


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    methods: tuple[str, ...] = (*METHODS, UNIFORM, *SEARCHES)
    """Names of methods; uniform_paths: the best of 100 architectures by the weights of a supernet that learns uniformly
    sampled ones; evolution, asha, ...: strategies and schedulers as in the recipes of searches without gradients."""
    seeds: Annotated[int, POSITIVE] = 10
    """Searches of each method."""
    epochs: Annotated[int | None, POSITIVE] = None
    """Epochs of each search; the recipes' where not given."""
    ranked: tuple[str, ...] = (UNIFORM, "darts", "pc_darts", "gdas", "drnas", "sdarts_rs", "darts_pt_fixed")
    """Methods whose supernets rank architectures."""
    ranked_seeds: Annotated[int, NOT_NEGATIVE] = 3
    """Searches of each of them that do."""
    ranked_count: Annotated[int, POSITIVE] = 500
    """Architectures that they rank."""
    strategy_seeds: Annotated[int, POSITIVE] = 100
    """Searches of each strategy without gradients."""
    latency_seeds: Annotated[int, NOT_NEGATIVE] = 10
    """Searches of each kind within latencies."""
    processes: Annotated[int | None, POSITIVE] = None
    """Processes of one thread each; by default one for each core."""
    max_seconds: Annotated[float | None, POSITIVE] = None
    """Stop after this time; the same command continues."""
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    json: Path = Path("runs/digits201.json")
    """File of the results, which is continued where it exists."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Look up what the table says, search what the file does not hold yet, print the table."""
    options = parse_command(Options, arguments, prog="python -m darts.experiments digits201", description=__doc__)
    supernets = (*METHODS, UNIFORM)
    for option, names, allowed in (
        ("methods", options.methods, (*supernets, *SEARCHES)),
        ("ranked", options.ranked, supernets),
    ):
        unknown = [name for name in names if name not in allowed]
        if unknown:
            raise UserError(f"--{option} has {unknown[0][:40]!r}; it takes {', '.join(allowed)}")
    require_writable(options.json)
    benchmark = Digits201()
    content = read(options)
    content["machine"], content["command"] = (
        machine(torch.device("cpu")),
        ["python", "-m", "darts.experiments", "digits201", *arguments],
    )
    content["protocol"] = benchmark.about["protocol"]
    content["oracles"] = oracles(benchmark)
    if options.benchmark.file is not None:
        content["cifar10"] = prediction(benchmark, NASBench201(options.benchmark.file))
    if content.get("strategy_seeds") != options.strategy_seeds or not _are_strategies(content.get("strategies")):
        content["strategies"] = strategies(benchmark, options.strategy_seeds)
        content["strategy_seeds"] = options.strategy_seeds
    if content.get("latency_seeds") != options.latency_seeds:
        content["latency"] = list(within_latencies(benchmark, options.latency_seeds, console))
        content["latency_seeds"] = options.latency_seeds
    write(options.json, content)
    search(options, content, console)
    content["table"] = summary(content["searches"])
    write(options.json, content)
    page = options.json.with_suffix(".html")
    write_atomically(page, digits201_page(content).encode())
    console.print(shown(content["table"]))
    console.print(f"in {options.json} and {page}", highlight=False)
    console.print("mean +- standard deviation over seeds; tau: of the supernet's scores with the truth, at the end")


def search(options: Options, content: dict[str, Any], console: Console) -> None:
    """Run the searches that are missing, and write each result as it comes."""
    done = {(row["method"], row["seed"]) for row in content["searches"]}
    jobs = [
        Job(method, seed, options.epochs, _ranked(options, method, seed))
        for seed in range(options.seeds)
        for method in dict.fromkeys(options.methods)
        if (method, seed) not in done
    ]
    processes = options.processes or len(os.sched_getaffinity(0))
    for _, found in worked_off(
        searcher, jobs, processes, things="searches", console=console, max_seconds=options.max_seconds
    ):
        content["searches"].append(found)
        write(options.json, content)


def _ranked(options: Options, method: str, seed: int) -> int:
    return options.ranked_count if method in options.ranked and seed < options.ranked_seeds else 0


def read(options: Options) -> dict[str, Any]:
    """Return the content of the file of results; without rows where there is no file.

    Raises:
        UserError: where it is no such file, or was made with other settings.
    """
    settings = {"epochs": options.epochs, "ranked_count": options.ranked_count}
    if not options.json.is_file():
        return {"settings": settings, "searches": []}
    try:
        content = json.loads(options.json.read_text(encoding="utf-8"))
        known = isinstance(content["settings"], dict) and _are_searches(content["searches"])
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known:
        raise UserError(f"--json {options.json}: not a file of this command; give another name")
    if content["settings"] != settings:
        raise UserError(f"--json {options.json}: made with {content['settings']}, not {settings}; give another name")
    return dict(content)


def _are_searches(rows: Any) -> bool:
    """Return whether a value is a list of rows as ``searcher`` makes them, as far as they are read again."""
    epochs: dict[str, set[str]] = {}
    for row in rows:
        numbers = [row[name] for name in ("seed", "accuracy", "rank", "regret", "skips", "seconds")]
        ranking = row["ranking"]
        if not set(row) >= KEYS or not isinstance(row["method"], str) or not isinstance(row["collapsed"], bool):
            return False
        if not isinstance(ranking, dict) or not all(map(is_number, (*numbers, *ranking.values(), *map(int, ranking)))):
            return False
        if ranking and epochs.setdefault(row["method"], set(ranking)) != set(ranking):
            return False
    return isinstance(rows, list)


def _are_strategies(rows: Any) -> bool:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return False
    wanted = [(name, count) for name in STRATEGY_ROWS for count in QUERIES]
    pairs = [row.get("accuracy") for row in rows]
    numbers = all(isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) for pair in pairs)
    return numbers and [(row.get("strategy"), row.get("queries")) for row in rows] == wanted


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the file of results."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def oracles(benchmark: Digits201) -> dict[str, Any]:
    """Return the exact figures of the table, and how well its seeds agree."""
    table = figures_of(benchmark)
    accuracy = benchmark.test_accuracy[:, :, -1]
    best = accuracy[(-accuracy.mean(1)).argsort(kind="stable")[: len(accuracy) // 10]]
    return {
        "classes": len(accuracy),
        **exact_figures(table),
        "tau_of_seeds": _between_seeds(accuracy),
        "tau_of_seeds_best_tenth": _between_seeds(best),
        "std_of_seeds": float(accuracy.std(1, ddof=1).mean()),
    }


def figures_of(benchmark: Digits201) -> dict[str, np.ndarray]:
    """Return the figures of all 15,625 architectures, ``(n,)`` each, in the order of ``numbered``."""
    names = [str(genotype) for genotype in numbered()]
    places = np.array([benchmark.places[benchmark.smallest[name]] for name in names])
    costs = {
        cost: np.array([benchmark.costs[name][cost] for name in names]) for cost in ("parameters", "multiply_adds")
    }
    accuracies = {"valid": benchmark.valid_accuracy, "test": benchmark.test_accuracy}
    return {**{name: values[places, :, -1].mean(1) for name, values in accuracies.items()}, **costs}


def _between_seeds(accuracy: np.ndarray) -> float:
    """Return Kendall's tau between two seeds, mean over all pairs, of accuracies ``(n, seeds)``."""
    seeds = range(accuracy.shape[1])
    pairs = [(one, other) for one in seeds for other in seeds if one < other]
    return fmean(float(kendalltau(accuracy[:, one], accuracy[:, other])[0]) for one, other in pairs)


def prediction(benchmark: Digits201, nasbench201: NASBench201) -> dict[str, float]:
    """Return the rank correlations of the digits' test accuracies with those of NAS-Bench-201 on CIFAR-10.

    ``best_tenth``: among the best tenth by CIFAR-10.
    """
    digits, cifar10 = figures_of(benchmark)["test"], columns(nasbench201, "cifar10")["test"]
    best = (-cifar10).argsort(kind="stable")[: len(cifar10) // 10]
    return {
        "rho": float(spearmanr(digits, cifar10)[0]),
        "tau": float(kendalltau(digits, cifar10)[0]),
        "rho_best_tenth": float(spearmanr(digits[best], cifar10[best])[0]),
        "tau_best_tenth": float(kendalltau(digits[best], cifar10[best])[0]),
        "cifar10_of_the_best_on_digits": float(cifar10[digits.argmax()]),
    }


def strategies(benchmark: Digits201, seeds: int) -> list[dict[str, Any]]:
    """Return the true accuracy and rank of what each strategy finds by the validation accuracy of the table."""
    decisions = ArchitectureDecisions(benchmark.protocol.space)
    lookups = Lookups(benchmark, benchmark.data[0], benchmark.protocol.epochs)
    rows = []
    for text in STRATEGY_ROWS:
        strategy = component("`strategy`", STRATEGIES, text)
        searches = [
            queries_of(strategy, decisions, lookups, BudgetConfig(trials=max(QUERIES)), seed, valid_accuracy)
            for seed in range(seeds)
        ]
        for queries in QUERIES:
            best = [max(search[:queries], key=valid_accuracy) for search in searches]
            found = [benchmark.standing(query.genotype) for query in best]
            ranks = sorted(each.rank for each in found)
            accuracy = _spread([100 * each.test_accuracy for each in found])
            rows.append({"strategy": text, "queries": queries, "accuracy": accuracy, "rank": ranks[len(ranks) // 2]})
    return rows


def within_latencies(benchmark: Digits201, seeds: int, console: Console) -> Iterator[dict[str, Any]]:
    """Yield the figures of searches for accuracy within latencies (``darts.experiments.tables.latency_targets``)."""
    if seeds:
        decisions, data = ArchitectureDecisions(benchmark.protocol.space), benchmark.data[0]
        yield from front_rows(benchmark, decisions, data, GOALS, seeds, console)
        yield from LatencyTargets(benchmark, decisions, data, console).rows(seeds)


def valid_accuracy(query: Query) -> float:
    """Return the validation accuracy by which a strategy searches."""
    return query.score.values["valid_accuracy"]


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each method: figures over its searches, the best median first.

    ``p`` is that of the two-sided Mann-Whitney test of its accuracies beside those of random search; None where either
    has fewer than two.
    """
    found = []
    chance = [row["accuracy"] for row in rows if row["method"] == "random"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        last = [list(row["ranking"].values())[-1] for row in own if row["ranking"]]
        accuracies = [row["accuracy"] for row in own]
        compared = method != "random" and min(len(own), len(chance)) > 1
        found.append(
            {
                "method": method,
                "seeds": len(own),
                "accuracy": _spread(accuracies),
                "median": round(median(accuracies), 3),
                "p": round(float(mannwhitneyu(accuracies, chance).pvalue), 5) if compared else None,
                "median_rank": sorted(row["rank"] for row in own)[len(own) // 2],
                "regret": _spread([row["regret"] for row in own]),
                "collapsed": fmean(row["collapsed"] for row in own),
                "skips": fmean(row["skips"] for row in own),
                "tau": _spread(last) if last else None,
                "seconds": median(row["seconds"] for row in own),
            }
        )
    return sorted(found, key=lambda row: -row["median"])


def _spread(values: Sequence[float]) -> list[float]:
    return [round(fmean(values), 3), round(spread(values), 3)]


def shown(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the summary as a table for the terminal."""
    titles = "method", "seeds", "median %", "accuracy %", "p", "rank", "collapsed %", "tau", "s"
    table = Table(*titles)
    for row in rows:
        accuracy = f"{row['accuracy'][0]:.2f} +- {row['accuracy'][1]:.2f}"
        p = "" if row["p"] is None else f"{row['p']:.3f}"
        ranked = "" if row["tau"] is None else f"{row['tau'][0]:.2f} +- {row['tau'][1]:.2f}"
        figures = (
            f"{row['median']:.1f}",
            accuracy,
            p,
            f"{row['median_rank']:,}",
            f"{100 * row['collapsed']:.0f}",
            ranked,
        )
        table.add_row(row["method"], str(row["seeds"]), *figures, f"{row['seconds']:.0f}")
    return table
