"""The runs that experiments are made of: a search by any recipe, a retraining, an architecture that is drawn.

Each writes its own folder, as ``train_search.py`` and ``train_final.py`` do, and resumes from what it finds there: a
run that is finished is not trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console

from darts.artifacts.fingerprint import of_data_set
from darts.artifacts.log import read_log
from darts.artifacts.run_folder import read_object
from darts.artifacts.run_lock import locked
from darts.blackbox import run as blackbox
from darts.blackbox.evaluators import Setting, problem_of
from darts.cli import write_config
from darts.config import BlackboxConfig, Config, RetrainConfig, SearchConfig, identity
from darts.data.dataset import DataSet
from darts.data.registry import open_data
from darts.methods.space_factory import space_from
from darts.oneshot.builder import make_search
from darts.recipes import BLACKBOX_RECIPES, FINAL_RECIPES, SEARCH_RECIPES, final_for
from darts.report.page import write_report
from darts.retraining.task import RetrainTask
from darts.training.loop import train
from genotypes import Genotype
from supernet import architectures
from supernet.spaces.space import SearchSpace

C = TypeVar("C", bound=SearchConfig | BlackboxConfig)

SEARCHES: dict[str, Callable[[], SearchConfig | BlackboxConfig]] = {**SEARCH_RECIPES, **BLACKBOX_RECIPES}
"""The recipes of searches, with and without gradients."""


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        genotype: that was found.
        seconds: of the search, without its interruptions.
    """

    genotype: Genotype
    seconds: float


@dataclass(frozen=True)
class Trained:
    """The result of a retraining.

    Attributes:
        figures: of the retraining: ``test_accuracy``, ``parameters``, ...
        of_space: figures of the genotype, such as the number of skip connections.
        seconds: of the training, without its interruptions.
    """

    figures: Mapping[str, Any]
    of_space: Mapping[str, Any]
    seconds: float


def named(config: C, name: str, runs: Path, device: str) -> C:
    """Return a search that runs, or resumes, in a folder of this name."""
    return replace(config, run=replace(config.run, name=name, runs=runs, device=device, resume=True))


def retraining_of(
    config: SearchConfig | BlackboxConfig, *, name: str, seed: int, recipe: str | None = None, epochs: int | None = None
) -> RetrainConfig:
    """Return the retraining of what a search finds.

    Args:
        config: of the search: its data, and where and how its runs compute.
        name: of the retraining's folder.
        seed: of the retraining.
        recipe: of the retraining; by default the one that fits the search.
        epochs: by default the recipe's.
    """
    final = FINAL_RECIPES[recipe or final_for(config.space.name, config.data.name)]()
    return replace(
        final,
        epochs=epochs or final.epochs,
        seed=seed,
        run=replace(config.run, name=name),
        data=replace(final.data, root=config.data.root, download=config.data.download),
    )


def search(config: SearchConfig | BlackboxConfig, device: torch.device, console: Console) -> Found:
    """Search, with or without gradients, in the folder that the configuration names, and write its files.

    Raises:
        UserError: where the configuration's parts cannot work together, or another process works in the folder.
    """
    folder = _folder(config)
    with locked(folder):
        if isinstance(config, BlackboxConfig):
            opened = partial(_setting, config, device, folder, console)
            problem = problem_of(config, opened)
            write_config(folder, "search", config, device)
            study = blackbox.run_study(config, problem, folder, Console(quiet=True), device)
            genotype = blackbox.write_study(config, study, folder, problem.truth)
            seconds = float(read_object(folder / "metrics.json")["seconds"])
        else:
            data = _data(config, device)
            task = make_search(config, data, device)
            made_with = {**identity(config), "data": of_data_set(data)}
            begun = partial(write_config, folder, task.kind, config, device)
            train(task, config.run, folder, made_with, console, begun=begun, verbose=False)
            genotype = task.write(folder, folder.name)
            seconds = read_log(folder)[-1]["seconds"]
        write_report(folder)
    return Found(genotype, seconds)


def retrain(config: RetrainConfig, genotype: Genotype, device: torch.device, console: Console) -> Trained:
    """Train an architecture from scratch, in the folder that the configuration names, and write its files."""
    folder, data = _folder(config), _data(config, device)
    task = RetrainTask(config, genotype, data, device)
    made_with = {**identity(config), "data": of_data_set(data), "genotype": genotype.hash}
    begun = partial(write_config, folder, task.kind, config, device)
    with locked(folder):
        train(task, config.run, folder, made_with, console, begun=begun, verbose=False)
        figures = task.write(folder)
        write_report(folder)
    return Trained(figures, task.space.figures(genotype), read_log(folder)[-1]["seconds"])


def space_of(config: SearchConfig | BlackboxConfig, device: torch.device) -> SearchSpace:
    """Return the space that a configuration searches, on its data set."""
    return space_from(config, shape=_data(config, device).shape)


def random_genotype(space: SearchSpace, seed: int) -> Genotype:
    """Return an architecture of a space, all valid ones equally likely."""
    return space.derive(architectures.sample(space, torch.Generator().manual_seed(seed)))


def _folder(config: Config) -> Path:
    assert config.run.name is not None, "runs of an experiment have names"
    return config.run.runs / config.run.name


def _data(config: Config, device: torch.device) -> DataSet:
    return open_data(config.data, device, config.seed, config.run.channels_last, language=config.language)


def _setting(config: BlackboxConfig, device: torch.device, folder: Path, console: Console) -> Setting:
    return Setting(config, _data(config, device), device, folder, console)
