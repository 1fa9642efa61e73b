"""A search without gradients as a study of Optuna: trial after trial until the budget is spent, resumed after any end.

The study lives in ``study.db`` (SQLite) in the run's folder. A trial holds the decisions that took part, the genotype
and its hash, the figures of its evaluation, and the seconds that it took; one that failed holds the reason. A trial
that was interrupted is continued under its own number, so that none is lost or counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from optuna.trial import Trial as OptunaTrial

from darts.blackbox.objectives import (
    Costs,
    Goals,
    is_feasible,
    oriented,
    record_constraints,
    uncounted,
)
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


ACCURACY = Goals()
INFEASIBLE = "infeasible"
"""Attribute of a trial that was not evaluated: which limits its architecture exceeds, in words."""

MAX_INFEASIBLE = 500
"""Architectures over a limit, one after the other, after which a search gives up."""


@dataclass(frozen=True)
class Best:
    """The best trial of a study."""

    number: int
    genotype: Genotype
    values: Mapping[str, float]
    objectives: Sequence[float]


def open_study(
    folder: Path, sampler: optuna.samplers.BaseSampler, settings: Mapping[str, Any], goals: Goals = ACCURACY
) -> Study:
    """Open the study in a folder, or make it.

    Args:
        settings: what the trials depend on; a study of other settings is not continued.
        goals: whose directions a new study has.

    Raises:
        UserError: where the study is of other settings, or the file is no study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        storage = RDBStorage(f"sqlite:///{path.resolve()}")
        study = optuna.create_study(
            storage=storage, sampler=sampler, study_name="search", directions=goals.directions, load_if_exists=True
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
    goals: Goals = ACCURACY,
    costs: Costs = uncounted,
) -> None:
    """Evaluate architectures until the budget is spent.

    Args:
        folder: of the run; each trial has one of its own in it.
        report: is called after each trial.
        goals: the objectives, and the limits above which an architecture is not evaluated.
        costs: counts what the goals ask for.

    Raises:
        UserError: where no architecture within the limits is found.
    """
    for trial in _trials(study, budget):
        genotype = decisions.genotype(suggest(trial, decisions))
        trial.set_user_attr("genotype", describe(genotype))
        trial.set_user_attr("hash", genotype.hash)
        counted = costs(genotype, {})
        record_constraints(trial, goals.excesses(counted))
        if over := goals.infeasible(counted):
            trial.set_user_attr(INFEASIBLE, over)
            trial.set_user_attr("values", dict(counted))
            study.tell(trial, goals.values_untrained(counted))
            report(study.get_trials(deepcopy=False)[trial.number])
            continue
        try:
            score = evaluator(genotype, Budget(budget.epochs), Trial(folder / TRIALS / str(trial.number)))
        except (Diverged, torch.OutOfMemoryError, MemoryError) as error:
            trial.set_user_attr("reason", str(error))
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("seconds", score.seconds)
            score = replace(score, values={**counted, **score.values})
            trial.set_user_attr("values", dict(score.values))
            study.tell(trial, goals.values(score))
        report(study.get_trials(deepcopy=False)[trial.number])


def spent(study: Study) -> float:
    """Return the seconds that the evaluations of a study took."""
    return sum(trial.user_attrs.get("seconds", 0.0) for trial in study.get_trials(deepcopy=False))


def best(study: Study) -> Best | None:
    """Return the best trial by the first objective, among equals by the others, then the earliest; None without one."""
    finished = evaluated(study)
    if not finished:
        return None
    trial = max(finished, key=lambda trial: (oriented(study, trial), -trial.number))
    return Best(trial.number, load(trial.user_attrs["genotype"]), trial.user_attrs["values"], trial.values)


def evaluated(study: Study) -> list[FrozenTrial]:
    """Return the completed trials whose architectures are within the limits."""
    return [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if is_feasible(trial)]


def _trials(study: Study, budget: BudgetConfig) -> Iterator[OptunaTrial]:
    """Yield trials to evaluate: those that were interrupted, then new ones."""
    interrupted = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    yield from (OptunaTrial(study, trial._trial_id) for trial in interrupted)
    while not _is_spent(study, budget):
        yield study.ask()


def _is_spent(study: Study, budget: BudgetConfig) -> bool:
    trials = study.get_trials(deepcopy=False)
    over = [INFEASIBLE in trial.user_attrs for trial in trials]
    if len(over) >= MAX_INFEASIBLE and all(over[-MAX_INFEASIBLE:]):
        last = trials[-1].user_attrs[INFEASIBLE]
        raise UserError(f"`limits`: each of the last {MAX_INFEASIBLE} architectures exceeds one, the last with {last}")
    if budget.trials is not None and over.count(False) >= budget.trials:
        return True
    return budget.seconds is not None and spent(study) >= budget.seconds
