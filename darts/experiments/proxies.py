"""Zero-cost proxies against the truth of NAS-Bench-201: rank correlations with the accuracy of the full training.

    python -m darts.experiments proxies --benchmark.file nb201.csv --data.root DIR
    python -m darts.experiments proxies ... --architectures 300 --proxies snip synflow

Architectures are drawn from the table without repeats, the same ones every time; a smaller number is the beginning of a
larger one. Each network is at the benchmark's size, with initial weights of one seed, and sees one batch of CIFAR-10's
training images, as ``--evaluator proxy:NAME`` judges it. The truth is the mean test accuracy after 200 epochs. The same
command again continues, and helps where it still runs.

Axes: ``n`` architecture.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from darts.artifacts.fingerprint import of_data_set
from darts.benchmarks.nasbench201 import ARCHITECTURES, NASBench201
from darts.blackbox.evaluators import Setting
from darts.blackbox.evaluators.proxy import Untrained, ZeroCost
from darts.blackbox.proxies import PROXIES
from darts.cli import say
from darts.config import BenchmarkConfig, DataConfig, RunConfig
from darts.config.command_line import parse_command
from darts.config.ranges import FROM_2, SEED, Range
from darts.data.registry import open_data
from darts.data.summary import summary
from darts.errors import UserError
from darts.experiments.estimates import CORRELATIONS, correlation, correlation_difference
from darts.experiments.jobs import Figures, Job, carry_out, open_experiment
from darts.experiments.tables.oracles import numbered
from darts.recipes import BLACKBOX_RECIPES
from darts.training.device import choose_device
from genotypes.atomic_write import write_atomically
from genotypes.types.nasbench201 import NASBench201Genotype, from_string

RECIPE = "random_nasbench201"
"""Whose space and data set the networks are of."""

PUBLISHED = {
    "grad_norm": 0.594,
    "snip": 0.596,
    "grasp": 0.514,
    "fisher": 0.36,
    "synflow": 0.737,
    "jacob_cov": 0.731,
}
"""Absolute Spearman correlation on CIFAR-10 over all architectures (Abdelfattah et al. 2021)."""

BASELINE = "parameters"
"""The proxy that every other one has to beat."""

SLOW = ("grasp",)
"""Proxies that differentiate twice, which take longer than all others together: they come last."""

AT_ONCE = 10
"""Architectures of a job."""

FEWEST = 10
"""Architectures from which on there is anything to correlate."""


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    data: DataConfig = field(default_factory=lambda: BLACKBOX_RECIPES[RECIPE]().data)
    architectures: Annotated[
        int, Range(f"from {FEWEST} to {ARCHITECTURES}", range(FEWEST, ARCHITECTURES + 1).__contains__)
    ] = 1000
    """Number of architectures."""
    proxies: tuple[str, ...] = tuple(PROXIES)
    """Names of proxies; the number of parameters is counted in any case."""
    images: Annotated[int, FROM_2] = 64
    """Images of the batch."""
    seed: Annotated[int, SEED] = 0
    """Seed of the initial weights and of the batch."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    name: str = "proxies"
    """Folder of this experiment within --runs."""
    storage: str | None = None
    """The storage that workers on several machines share; by default study.db in the folder."""
    device: str = "auto"
    """cpu, cuda, ..."""
    json: Path | None = None
    """File to write the results to; by default results.json in the folder."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Judge what is not judged yet, print the correlations, and write them with each architecture's figures."""
    options = parse_command(Options, arguments, prog="python -m darts.experiments proxies", description=__doc__)
    unknown = [name for name in options.proxies if name not in PROXIES]
    if unknown:
        raise UserError(f"`proxies` holds {unknown[0]!r}; there are {', '.join(PROXIES)}")
    if options.benchmark.file is None:
        raise UserError("`benchmark.file` is not given; it is the table of NAS-Bench-201 with the true accuracies")
    benchmark = NASBench201(options.benchmark.file)
    device, folder = choose_device(RunConfig(device=options.device)), options.runs / options.name
    recipe = BLACKBOX_RECIPES[RECIPE]()
    config = replace(recipe, data=options.data, seed=options.seed)
    data = open_data(config.data, device, config.seed, config.run.channels_last)
    say(console, summary(data))
    evaluator = untrained(Setting(config, data, device, folder, console), options.images)
    settings = {"images": options.images, "seed": options.seed, "data": of_data_set(data)}
    experiment = open_experiment(folder, options.storage, settings, device)
    jobs = jobs_of(evaluator, options.proxies, options.architectures)
    rows = rows_of(carry_out(experiment, jobs, console).values(), benchmark)
    seconds = experiment.seconds()
    found = correlations(rows)
    results = {
        "command": ["python", "-m", "darts.experiments", "proxies", *arguments],
        "machines": experiment.machines(),
        "settings": {**settings, "architectures": options.architectures},
        "seconds": round(sum(seconds[job.name] for job in jobs), 1),
        "correlations": found,
    }
    path = options.json or folder / "results.json"
    write_atomically(path, written(results, rows).encode())
    console.print(table(found))
    say(console, f"in {path}: these, and the figures of each architecture")


def untrained(setting: Setting, images: int) -> Untrained:
    """Return the evaluator of ``--evaluator proxy:NAME``, which judges by any proxy.

    Raises:
        UserError: where the data set holds no images with classes.
    """
    evaluator = ZeroCost(images=images).problem(setting.config, lambda: setting).evaluator
    assert isinstance(evaluator, Untrained)
    return evaluator


def drawn(count: int) -> list[str]:
    """Return architecture strings in the order in which they are drawn: the same for every count."""
    order = np.random.default_rng(0).permutation(ARCHITECTURES)[:count]
    architectures = numbered()
    return [str(architectures[number]) for number in order]


def jobs_of(evaluator: Untrained, proxies: Sequence[str], architectures: int) -> list[Job]:
    """Return the jobs: some architectures, by all fast proxies or by a slow one."""
    names = tuple(dict.fromkeys((*proxies, BASELINE)))
    fast = tuple(name for name in names if name not in SLOW)
    sample = drawn(architectures)
    jobs = []
    for group in (fast, *((name,) for name in names if name in SLOW)):
        for first in range(0, architectures, AT_ONCE):
            part = sample[first : first + AT_ONCE]
            name = f"architectures {first + 1} to {first + len(part)} by {', '.join(group)}"
            jobs.append(Job(name, kind=" ".join(group), do=partial(judged, evaluator, group, part)))
    return jobs


def judged(
    evaluator: Untrained, proxies: Sequence[str], architectures: Sequence[str], done: Mapping[str, Figures]
) -> Figures:
    """Return architecture string -> proxy -> figure, to seven digits."""
    figures = {}
    for text in architectures:
        found, _, _ = evaluator.figures(from_string(text), proxies)
        figures[text] = {name: float(f"{value:.7g}") for name, value in found.items()}
    return figures


def rows_of(found: Iterable[Figures], benchmark: NASBench201) -> list[dict[str, Any]]:
    """Return a row for each architecture: the true accuracy, and its proxies."""
    rows: dict[str, dict[str, Any]] = {}
    for figures in found:
        for text, proxies in figures.items():
            rows.setdefault(text, {"architecture": text, "test_accuracy": truth(benchmark, text)}).update(proxies)
    return list(rows.values())


def truth(benchmark: NASBench201, architecture: str) -> float:
    """Return the mean test accuracy on CIFAR-10 after 200 epochs, as a share of 1."""
    genotype: NASBench201Genotype = from_string(architecture)
    return benchmark.query(genotype, "cifar10").values["test_accuracy"]


def correlations(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each proxy its signed correlations with the truth, each with an interval, and what is published.

    ``above_parameters`` is by how much its absolute Spearman correlation is above that of the number of parameters.
    """
    found = []
    accuracy = np.array([row["test_accuracy"] for row in rows])
    baseline = np.array([row[BASELINE] for row in rows])
    for name in [name for name in PROXIES if name in rows[0]]:
        values = np.array([row[name] for row in rows])
        row: dict[str, Any] = {"proxy": name, "architectures": len(rows)}
        row |= {kind: correlation(kind, values, accuracy).rounded() for kind in CORRELATIONS}
        if name in PUBLISHED:
            row["published"] = PUBLISHED[name]
            row["difference"] = round(abs(row["spearman"][0]) - PUBLISHED[name], 4)
        if name != BASELINE:
            row["above_parameters"] = correlation_difference("spearman", values, baseline, accuracy).rounded()
        found.append(row)
    return found


def written(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the results as JSON, with each architecture on a line."""
    head = json.dumps(results, indent=2).rstrip("}").rstrip()
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    return f'{head},\n  "rows": [\n    {lines}\n  ]\n}}\n'


def table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the correlations as a table for the terminal."""
    shown = Table("proxy", "n", "Spearman", "published, absolute", "difference", "Kendall", "above parameters")
    for row in found:
        published = [
            f"{row[key]:{sign}.3f}" if key in row else "" for key, sign in (("published", ""), ("difference", "+"))
        ]
        above = _interval(row["above_parameters"]) if "above_parameters" in row else ""
        shown.add_row(
            row["proxy"],
            str(row["architectures"]),
            _interval(row["spearman"]),
            *published,
            _interval(row["kendall"]),
            above,
        )
    return shown


def _interval(estimate: Sequence[float]) -> str:
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*estimate)
