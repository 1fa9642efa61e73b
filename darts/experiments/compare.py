"""Comparison of all methods on one data set, beside random architectures of the same space.

python -m darts.compare                                        every method on the digits, 3 seeds
python -m darts.compare --methods darts pc_darts --seeds 0     some of them
python -m darts.compare --methods darts evolution_digits asha_digits random --total-epochs 100
python -m darts.compare --json FILE                            resumes where FILE ends, after any interruption

Every search and every retraining uses the same two recipes, the same number of epochs and the seed of its row; only the
method differs. Searches without gradients are those of their own recipes on the same data and space, with equal budgets
where --total-epochs gives one. Rows come in the order of ``methods``: where spreads overlap there is no ranking.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from darts.cli import require_recipe
from darts.config import BlackboxConfig, MethodConfig, RunConfig, SearchConfig, check
from darts.config.blackbox import BudgetConfig
from darts.config.command_line import parse_command
from darts.config.ranges import POSITIVE, SEED
from darts.errors import UserError
from darts.experiments.results_file import read_results, skip_counts, summary
from darts.experiments.runs import Found, named, random_genotype, retrain, retraining_of, search, space_of
from darts.methods import METHODS
from darts.methods.compose import compose
from darts.recipes import BLACKBOX_RECIPES, SEARCH_RECIPES
from darts.training.device import choose_device
from genotypes import describe
from genotypes.atomic_write import require_writable, write_atomically
from supernet.bench.machine import machine

RANDOM = "random"
"""The row of architectures that were drawn, not searched."""

VARIANTS = ("pdarts_cifar100", "drnas_progressive", "gaea_pc_darts", "darts_pt_fixed", "sgas_2")
"""Variants of a method, which the default leaves out."""


@dataclass(frozen=True)
class CompareConfig:
    """Options of the comparison."""

    recipe: str = "digits"
    """Recipe of the searches; its data set has a recipe for retraining."""
    methods: tuple[str, ...] = (*(name for name in METHODS if name not in VARIANTS), RANDOM)
    """Names of methods, or recipes of searches without gradients; random: architectures drawn from the search space."""
    seeds: Annotated[tuple[int, ...], SEED] = (0, 1, 2)
    """Seeds: one search and one retraining for each."""
    epochs: Annotated[int | None, POSITIVE] = None
    """Epochs of the searches; the recipe's where not given."""
    final_epochs: Annotated[int | None, POSITIVE] = None
    """Epochs of the retrainings; the recipe's where not given."""
    total_epochs: Annotated[int | None, POSITIVE] = None
    """Budget of each search without gradients that trains its architectures: epochs, summed over them; the recipe's
    where not given."""
    channels: Annotated[int | None, POSITIVE] = None
    """Width of the supernet; by default the recipe's."""
    root: Path | None = None
    """The folder or file that holds the data set."""
    runs: Path = Path("runs/compare")
    """Folder of all runs."""
    json: Path = Path("runs/compare.json")
    """File of the results, which is continued where it exists."""
    device: str = "auto"
    """cpu, cuda, ..."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Parse, run what the file of results does not hold yet, print the table."""
    config = parse_command(CompareConfig, arguments, prog="python -m darts.compare", description=__doc__)
    jobs = list(dict.fromkeys((method, seed) for method in config.methods for seed in config.seeds))
    settings = {(method, seed): search_config(config, method, seed) for method, seed in jobs}
    device = choose_device(RunConfig(device=config.device))
    ran = machine(device)
    content = read_results(config.json, _settings(config))
    require_writable(config.json)
    done = {(row["method"], row["seed"]) for row in content["rows"]}
    for method, seed in jobs:
        if (method, seed) not in done:
            row = run_row(config, settings[method, seed], method, device, console)
            content["rows"].append(row | {"commit": ran["commit"]})
            content |= {"machine": ran, "command": ["python", "-m", "darts.compare", *arguments]}
            content["table"] = summary(content["rows"])
            write_atomically(config.json, (json.dumps(content, indent=2) + "\n").encode())
    console.print(table(summary(content["rows"])))
    console.print("mean +- standard deviation over seeds; where these overlap, no method is better than another")


def search_config(config: CompareConfig, method: str, seed: int) -> SearchConfig | BlackboxConfig:
    """Return the search of a row, checked; that of random architectures names the space."""
    made = with_gradients(config, method, seed) if method not in BLACKBOX_RECIPES else without(config, method, seed)
    check(made)
    return made


def without(config: CompareConfig, recipe: str, seed: int) -> BlackboxConfig:
    """Return the search of a recipe without gradients.

    Raises:
        UserError: where it is on other data, or in another space, than the recipe of the comparison.
    """
    made, shared = BLACKBOX_RECIPES[recipe](), with_gradients(config, RANDOM, seed)
    if (made.data.name, made.space.name) != (shared.data.name, shared.space.name):
        raise UserError(f"--methods has {recipe}, whose space or data are not those of --recipe {config.recipe}")
    space = replace(made.space, channels=config.channels or made.space.channels)
    made = replace(made, data=shared.data, space=space, seed=seed)
    if config.total_epochs is not None and made.evaluator_name == "training":
        made = replace(made, budget=BudgetConfig(total_epochs=config.total_epochs, epochs=made.budget.epochs))
    return named(made, f"search-{recipe}-seed{seed}", config.runs, config.device)


def with_gradients(config: CompareConfig, method: str, seed: int) -> SearchConfig:
    """Return the search of a method; that of random architectures names the space."""
    require_recipe(config.recipe, SEARCH_RECIPES, "train_search.py")
    recipe = SEARCH_RECIPES[config.recipe]()
    made = replace(
        recipe,
        method=MethodConfig() if method == RANDOM else MethodConfig(method),
        space=replace(recipe.space, channels=config.channels or recipe.space.channels),
        data=replace(recipe.data, root=config.root or recipe.data.root),
        epochs=config.epochs or recipe.epochs,
        seed=seed,
    )
    compose(made)
    return named(made, f"search-{method}-seed{seed}", config.runs, config.device)


def run_row(
    config: CompareConfig,
    settings: SearchConfig | BlackboxConfig,
    method: str,
    device: torch.device,
    console: Console,
) -> dict[str, Any]:
    """Search, or draw an architecture; retrain it; return the row of results."""
    console.rule(f"{method}, seed {settings.seed}")
    if method == RANDOM:
        found = Found(random_genotype(space_of(settings, device), settings.seed), 0.0)
    else:
        found = search(settings, device, console)
    name, seed = f"final-{method}-seed{settings.seed}", settings.seed
    final = retraining_of(settings, name=name, seed=seed, epochs=config.final_epochs)
    trained = retrain(final, found.genotype, device, console)
    return {
        "method": method,
        "seed": settings.seed,
        "test_accuracy": trained.figures["test_accuracy"],
        "parameters": trained.figures["parameters"],
        "search_seconds": round(found.seconds, 1),
        "retrain_seconds": round(trained.seconds, 1),
        **trained.of_space,
        "genotype": describe(found.genotype),
    }


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the summary as a table for the terminal."""
    skips = skip_counts(rows[0]) if rows else []
    titles = [key.replace("_", " ") for key in skips]
    shown = Table("method", "seeds", "test accuracy %", "parameters", "search s", *titles)
    for row in rows:
        spread = "" if row["test_accuracy_std"] is None else f" +- {100 * row['test_accuracy_std']:.2f}"
        figures = f"{100 * row['test_accuracy']:.2f}{spread}", f"{row['parameters']:,.0f}"
        counts = [f"{row[key]:.1f}" for key in ("search_seconds", *skips)]
        shown.add_row(Text(row["method"]), str(row["seeds"]), *figures, *counts)
    return shown


def _settings(config: CompareConfig) -> dict[str, Any]:
    """Return the settings that all rows of a file have in common."""
    return {
        "recipe": config.recipe,
        "epochs": config.epochs,
        "final_epochs": config.final_epochs,
        "channels": config.channels,
        **({} if config.total_epochs is None else {"total_epochs": config.total_epochs}),
    }
