"""Evaluators: ways to judge a genotype within a budget.

Searchers without gradients ask one for the score of each genotype that they try.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console

from darts.artifacts.log import read_log
from darts.benchmarks.protocol import Benchmark, Score
from darts.config import RetrainConfig, identity
from darts.config.fields import replaced
from darts.data.dataset import DataSet
from darts.retraining.fingerprint import checked_fingerprint
from darts.retraining.task import RetrainTask
from darts.training.loop import train
from genotypes import Genotype


@dataclass(frozen=True)
class Budget:
    """The budget of an evaluation.

    Attributes:
        epochs: of training, counted from the trial's beginning.
    """

    epochs: int


@dataclass(frozen=True)
class Trial:
    """One genotype's evaluations, of growing budgets.

    Attributes:
        folder: holds what the trial needs to continue where its last budget ended.
        settings: dotted path of a field of the configuration -> the value that this trial trains with.
        deadline: by ``time.monotonic()``, until which an evaluation may take; None without a limit.
    """

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    deadline: float | None = None

    @property
    def hours(self) -> float | None:
        """The hours that are left for an evaluation.

        Raises:
            OutOfTime: where none is left.
        """
        left = None if self.deadline is None else (self.deadline - time.monotonic()) / 3600
        if left is not None and left <= 0:
            raise OutOfTime
        return left


class OutOfTime(Exception):
    """An evaluation was stopped by its deadline, with a checkpoint to continue from."""


class Evaluator(Protocol):
    """Judges genotypes."""

    def __call__(self, genotype: Genotype, budget: Budget, trial: Trial) -> Score:
        """Return the score of a genotype after a budget; continue where the trial's last budget ended."""
        ...


@dataclass(frozen=True)
class Retraining:
    """Trains the genotype's network from scratch, and scores it on the test split of ``data``.

    The schedules are those of ``config.epochs``, the largest budget: a trial that is continued gives the same weights
    as one that was given the larger budget at once.

    Attributes:
        config: of the retraining.
        data: whose ``test`` split scores; for a search it must not be the data set's own test split.
        device: that trains.
        console: shows the progress of the training, without a line for each epoch.
    """

    config: RetrainConfig
    data: DataSet
    device: torch.device
    console: Console

    def __call__(self, genotype: Genotype, budget: Budget, trial: Trial) -> Score:
        """Return the figures of the last epoch of the budget, and the number of weights.

        Raises:
            OutOfTime: where the trial's deadline has ended the training before its budget.
        """
        run = replace(self.config.run, resume=True, max_steps=None, max_hours=trial.hours)
        settings = replace(replaced(self.config, trial.settings), run=run)
        for generator in self.data.train.generators:
            generator.manual_seed(settings.seed)  # a training does not depend on those before it in this process
        task = RetrainTask(settings, genotype, self.data, self.device)
        epochs = min(budget.epochs, settings.epochs)
        steps = epochs * task.steps_per_epoch
        run = replace(settings.run, max_steps=steps)
        made_with = {**identity(settings), "genotype": genotype.hash}
        train(task, run, trial.folder, made_with, self.console, verbose=False)
        last = read_log(trial.folder)[-1]
        if last["step"] < steps:
            raise OutOfTime
        notes = {}
        if not settings.inherit:  # which builds other modules for the same genotype
            auxiliary = settings.auxiliary > 0
            notes["network"] = checked_fingerprint(task.network, task.space, genotype, auxiliary=auxiliary)
        return Score({**task.tested, "parameters": task.parameters}, last["seconds"], notes)


@dataclass(frozen=True)
class Lookup:
    """Looks genotypes up in a benchmark, for a data set's name; the budget must be a length that the table holds."""

    benchmark: Benchmark
    data: str

    def __call__(self, genotype: Genotype, budget: Budget, trial: Trial) -> Score:
        """Return the table's score."""
        return self.benchmark.query(genotype, self.data, budget.epochs)
