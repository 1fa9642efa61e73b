"""A search without gradients as a study of Optuna: trial after trial until the budget is spent, resumed after any end.

The study lives in ``study.db`` (SQLite) in the run's folder. A trial holds the decisions that took part, the genotype
and its hash, the figures of its evaluation, and the seconds that it took; one that failed holds the reason. A trial
that was interrupted is continued under its own number, so that none is lost or counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from optuna.trial import Trial as OptunaTrial

from darts.benchmarks.protocol import Score
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.samplers import suggest
from darts.config.blackbox import BudgetConfig
from darts.errors import UserError
from darts.retraining.evaluator import Budget, Evaluator, Trial
from darts.training.loop import Diverged
from genotypes import Genotype, describe, load

FILE = "study.db"
TRIALS = "trials"
"""Folder of the trials' own files, in the run's folder."""

SETTINGS = "settings"
"""Attribute of a study: what its trials depend on."""


@dataclass(frozen=True)
class Best:
    """The best trial of a study."""

    number: int
    genotype: Genotype
    values: Mapping[str, float]


def open_study(folder: Path, sampler: optuna.samplers.BaseSampler, settings: Mapping[str, Any]) -> Study:
    """Open the study in a folder, or make it.

    Args:
        settings: what the trials depend on; a study of other settings is not continued.

    Raises:
        UserError: where the study is of other settings, or the file is no study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        storage = RDBStorage(f"sqlite:///{path.resolve()}")
        study = optuna.create_study(
            storage=storage, sampler=sampler, study_name="search", direction="maximize", load_if_exists=True
        )
        found = study.user_attrs.get(SETTINGS, settings)
    except Exception as error:  # SQLAlchemy's, which Optuna passes on
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:100]
        raise UserError(f"{path}: not the study of a search ({reason}); choose another `run.name`") from None
    for name in dict.fromkeys([*settings, *found]):
        if found.get(name) != settings.get(name):
            theirs, ours = found.get(name), settings.get(name)
            raise UserError(f"{path}: made with `{name}` {theirs}, not {ours}; choose another `run.name`")
    study.set_user_attr(SETTINGS, dict(settings))
    return study


def search(
    study: Study,
    decisions: ArchitectureDecisions,
    evaluator: Evaluator,
    budget: BudgetConfig,
    folder: Path,
    report: Callable[[FrozenTrial], None] = lambda trial: None,
) -> None:
    """Evaluate architectures until the budget is spent.

    Args:
        folder: of the run; each trial has one of its own in it.
        report: is called after each trial.
    """
    for trial in _trials(study, budget):
        genotype = decisions.genotype(suggest(trial, decisions))
        trial.set_user_attr("genotype", describe(genotype))
        trial.set_user_attr("hash", genotype.hash)
        try:
            score = evaluator(genotype, Budget(budget.epochs), Trial(folder / TRIALS / str(trial.number)))
        except (Diverged, torch.OutOfMemoryError, MemoryError) as error:
            trial.set_user_attr("reason", str(error))
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("seconds", score.seconds)
            trial.set_user_attr("values", dict(score.values))
            study.tell(trial, value_of(score))
        report(study.get_trials(deepcopy=False)[trial.number])


def value_of(score: Score) -> float:
    """Return what a search maximizes: the validation accuracy, or the loss with its sign turned."""
    return score.values.get("valid_accuracy", -score.values.get("valid_loss", 0.0))


def spent(study: Study) -> float:
    """Return the seconds that the evaluations of a study took."""
    return sum(trial.user_attrs.get("seconds", 0.0) for trial in study.get_trials(deepcopy=False))


def best(study: Study) -> Best | None:
    """Return the best trial, the earliest among equals; None where none was completed."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        return None
    trial = max(finished, key=lambda trial: (float(trial.value or 0.0), -trial.number))
    return Best(trial.number, load(trial.user_attrs["genotype"]), trial.user_attrs["values"])


def _trials(study: Study, budget: BudgetConfig) -> Iterator[OptunaTrial]:
    """Yield trials to evaluate: those that were interrupted, then new ones."""
    interrupted = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    yield from (OptunaTrial(study, trial._trial_id) for trial in interrupted)
    while not _is_spent(study, budget):
        yield study.ask()


def _is_spent(study: Study, budget: BudgetConfig) -> bool:
    if budget.trials is not None and len(study.get_trials(deepcopy=False)) >= budget.trials:
        return True
    return budget.seconds is not None and spent(study) >= budget.seconds
