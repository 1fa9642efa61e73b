"""Rerun published tables, and print published figures beside ours.

    python -m darts.experiments.reproduce --benchmark.file nb201.csv                     NAS-Bench-201, 500 seeds
    python -m darts.experiments.reproduce --benchmark.file nb201.csv --json FILE         and write the figures

So far: search without gradients on NAS-Bench-201 (Dong and Yang 2020, as quoted in Mellor et al. 2021, table 2a).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from darts.blackbox.evaluators.benchmark import lookup_problem
from darts.blackbox.run import run_replays
from darts.cli import run_script
from darts.config import BenchmarkConfig, BlackboxConfig, check
from darts.config.command_line import parse_command
from darts.recipes import BLACKBOX_RECIPES
from genotypes.atomic_write import write_atomically
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


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    seeds: int = 500
    """Searches of each strategy."""
    json: Path | None = None
    """File to write the figures to."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Replay every strategy, and print a row as soon as it is known."""
    options = parse_command(Options, arguments, prog="python -m darts.experiments.reproduce", description=__doc__)
    rows = []
    for recipe in PUBLISHED:
        rows.append(row_of(recipe, options, console))
        console.print(_table(rows))
    if options.json is not None:
        command = ["python", "-m", "darts.experiments.reproduce", "--seeds", str(options.seeds)]
        content = {"machine": machine(torch.device("cpu")), "command": command, "rows": rows}
        write_atomically(options.json, (json.dumps(content, indent=2) + "\n").encode())


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
    return {
        "recipe": recipe,
        "strategy": config.strategy,
        "seeds": options.seeds,
        "queries": round(mean(replays.queries), 1),
        "seconds": round(time.monotonic() - began, 1),
        "test": {data: [round(100 * mean(a), 2), round(100 * _spread(a), 2)] for data, a in replays.test.items()},
        "published": {data: list(figures) for data, figures in PUBLISHED[recipe].items()},
    }


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    sets = list(rows[0]["test"])
    table = Table("recipe", "queries", *(f"{data}, ours" for data in sets), *(f"{data}, published" for data in sets))
    for row in rows:
        ours = [f"{m:.2f} ± {s:.2f}" for m, s in row["test"].values()]
        published = [_pair(row["published"].get(data)) for data in sets]
        table.add_row(row["recipe"], f"{row['queries']:.1f}", *ours, *published)
    return table


def _pair(figures: Sequence[float] | None) -> str:
    return f"{figures[0]:.2f} ± {figures[1]:.2f}" if figures else ""


if __name__ == "__main__":
    run_script(main)
