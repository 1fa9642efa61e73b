"""Published one-shot searches on NAS-Bench-201, and ours: searched through a supernet, looked up in the table.

Published figures are test accuracies after 200 epochs of what a search on CIFAR-10 finds (Dong and Yang 2020, as quoted
in Mellor et al. 2021, table 2a). Ours take GPU-hours at full length; fewer epochs or channels are said with the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.table import Table

from darts.benchmarks.nasbench201 import DATA, NASBench201
from darts.config import BlackboxConfig, RunConfig, SearchConfig, check, flat, to_dict
from darts.config.ranges import POSITIVE
from darts.errors import UserError
from darts.experiments.jobs import Figures, Job, carry_out, open_experiment
from darts.experiments.published import differences
from darts.experiments.runs import SEARCHES, named, search
from darts.training.device import choose_device
from genotypes import describe, load

Accuracies = dict[str, tuple[float, float | None]]
"""Data set -> mean and standard deviation of the test accuracy, in percent."""

SAME: Accuracies = {
    "cifar10": (54.30, None),
    "cifar100": (15.61, None),
    "imagenet16": (16.32, None),
}
"""Of a cell of nothing but skip connections, which these searches end with."""

PUBLISHED: dict[str, Accuracies] = {
    "rsps_nasbench201": {"cifar10": (87.66, 1.69), "cifar100": (58.33, 4.34), "imagenet16": (31.14, 3.88)},
    "darts_nasbench201_cifar10": SAME,
    "darts_v2_nasbench201_cifar10": SAME,
    "enas_nasbench201": SAME,
    "gdas_nasbench201_cifar10": {"cifar10": (93.51, 0.13), "cifar100": (70.61, 0.26), "imagenet16": (41.84, 0.90)},
    "SETN": {"cifar10": (86.19, 4.63), "cifar100": (56.87, 7.77), "imagenet16": (31.90, 4.07)},
}
"""Recipe, or a method without one -> published figures."""

RECIPES = {name: SEARCHES[name] for name in PUBLISHED if name in SEARCHES}


@dataclass(frozen=True)
class OneShotOptions:
    """Searches through a supernet, which need the images of CIFAR-10."""

    root: Path | None = None
    """The folder of CIFAR-10; without it only published figures are printed."""
    recipes: tuple[str, ...] = tuple(RECIPES)
    """Recipes to run."""
    searches: Annotated[int, POSITIVE] = 3
    """Searches by each recipe, with the seeds 0, 1, ..."""
    epochs: Annotated[int | None, POSITIVE] = None
    """Epochs of a search, or of its supernet; the recipe's where not given."""
    channels: Annotated[int | None, POSITIVE] = None
    """Channels of the supernet; the recipe's where not given."""
    layers: Annotated[int | None, POSITIVE] = None
    """Cells of each stage of the supernet; the recipe's where not given."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    name: str = "reproduce-nasbench201"
    """Folder of these searches within --one-shot.runs."""
    storage: str | None = None
    """Storage of the jobs, for workers on several machines; by default study.db in the folder."""
    device: str = "auto"
    """cpu, cuda, ..."""


def one_shot_rows(options: OneShotOptions, benchmark: NASBench201, console: Console) -> list[dict[str, Any]]:
    """Run what is not done, and return a row for each published method.

    Raises:
        UserError: where a recipe is none of these, or a search fails.
    """
    for name in options.recipes:
        if name not in RECIPES:
            raise UserError(f"`one_shot.recipes` holds {name!r}; there are {', '.join(RECIPES)}")
    configs = {name: configured(name, options) for name in options.recipes} if options.root else {}
    found: Mapping[str, Figures] = {}
    if configs:
        folder, device = options.runs / options.name, choose_device(RunConfig(device=options.device))
        settings = {"epochs": options.epochs, "channels": options.channels, "layers": options.layers}
        jobs = [
            Job(_job(name, seed), name, partial(_searched, config, seed, folder, device, console))
            for name, config in configs.items()
            for seed in range(options.searches)
        ]
        found = carry_out(open_experiment(folder, options.storage, settings, device), jobs, console)
    return [_row(name, configs.get(name), options.searches, found, benchmark) for name in PUBLISHED]


def configured(name: str, options: OneShotOptions) -> SearchConfig | BlackboxConfig:
    """Return the search of a recipe, with what the options change."""
    config = RECIPES[name]()
    size = replace(
        config.space,
        channels=options.channels or config.space.channels,
        layers=options.layers or config.space.layers,
    )
    data = replace(config.data, root=options.root)
    made: SearchConfig | BlackboxConfig
    if isinstance(config, BlackboxConfig):
        budget = replace(config.budget, epochs=options.epochs or config.budget.epochs)
        made = replace(config, space=size, data=data, budget=budget)
    else:
        made = replace(config, space=size, data=data, epochs=options.epochs or config.epochs)
    check(made)
    return made


def one_shot_table(rows: list[dict[str, Any]]) -> Table:
    """Return published figures beside ours as a table for the terminal."""
    table = Table("method", "data set", "published", "ours", "not as in the recipe")
    for row in rows:
        changed = ", ".join(f"{field} {a} for {b}" for field, (a, b) in row["changed"].items())
        for place, data in enumerate(DATA):
            ours, published = (with_spread((row[kind] or {}).get(data)) for kind in ("ours", "published"))
            names = (row["method"], row["note"] or changed) if place == 0 else ("", "")
            table.add_row(names[0], data, published, ours, names[1])
    return table


def _job(name: str, seed: int) -> str:
    return f"search-{name}-seed{seed}"


def _searched(
    config: SearchConfig | BlackboxConfig,
    seed: int,
    folder: Path,
    device: torch.device,
    console: Console,
    done: Mapping[str, Figures],
) -> Figures:
    placed = named(replace(config, seed=seed), _job(config.recipe, seed), folder, config.run.device)
    found = search(placed, device, console)
    return {"genotype": describe(found.genotype), "search_seconds": round(found.seconds, 1)}


def _row(
    name: str,
    config: SearchConfig | BlackboxConfig | None,
    searches: int,
    found: Mapping[str, Figures],
    benchmark: NASBench201,
) -> dict[str, Any]:
    """Return what is published of a method, and test accuracies of what our searches found, in percent."""
    row: dict[str, Any] = {"method": name, "published": PUBLISHED[name], "ours": None, "changed": {}, "note": ""}
    if config is None:
        return row | {"note": "not run" if name in RECIPES else "not among our methods"}
    ours = [found[_job(name, seed)] for seed in range(searches)]
    genotypes = [load(each["genotype"]) for each in ours]
    accuracies = {
        data: [100 * benchmark.query(genotype, data).values["test_accuracy"] for genotype in genotypes] for data in DATA
    }
    return row | {
        "ours": {data: [round(mean(each), 2), _std(each)] for data, each in accuracies.items()},
        "changed": differences(_fields(config), _fields(RECIPES[name]())),
        "searches": ours,
    }


def _std(values: list[float]) -> float | None:
    return round(stdev(values), 2) if len(values) > 1 else None


def _fields(config: SearchConfig | BlackboxConfig) -> dict[str, Any]:
    """Return the fields of a search but where its data and its runs are."""
    fields = flat(to_dict(config)).items()
    return {name: value for name, value in fields if not name.startswith(("run.", "data."))}


def with_spread(figures: Sequence[float | None] | None) -> str:
    """Return a mean and, where it is known, its standard deviation as text; empty where nothing is known."""
    if figures is None:
        return ""
    center, width = figures
    return f"{center:.2f}" + ("" if width is None else f" ± {width:.2f}")
