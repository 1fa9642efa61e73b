"""The budget of a search: what its trials have used, and whether another may begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial

from darts.blackbox.records import CPU_SECONDS, GPU_SECONDS, INFEASIBLE, SECONDS, epochs_of, is_queued, results_of
from darts.config.blackbox import BudgetConfig


class Spent(NamedTuple):
    """The budget that trials of a study have used, in the units of ``BudgetConfig``.

    Attributes:
        epochs: that were trained, or are being trained, in all.
    """

    trials: int = 0
    epochs: int = 0
    seconds: float = 0.0
    cpu_hours: float = 0.0
    gpu_hours: float = 0.0


def spent_by(trial: FrozenTrial) -> Spent:
    """Return what a trial has used; one that is enqueued, or over a limit, has used nothing."""
    if is_queued(trial) or INFEASIBLE in trial.user_attrs:
        return Spent()
    seconds, cpu, gpu = (trial.user_attrs.get(name, 0.0) for name in (SECONDS, CPU_SECONDS, GPU_SECONDS))
    return Spent(1, _epochs(trial), seconds, cpu / 3600, gpu / 3600)


def total(parts: Sequence[Spent]) -> Spent:
    """Return the sum of what trials have used."""
    return Spent(
        trials=sum(part.trials for part in parts),
        epochs=sum(part.epochs for part in parts),
        seconds=sum(part.seconds for part in parts),
        cpu_hours=sum(part.cpu_hours for part in parts),
        gpu_hours=sum(part.gpu_hours for part in parts),
    )


def out_of_time(used: Spent, budget: BudgetConfig) -> bool:
    """Return whether seconds or hours are spent: then nothing is begun or promoted any more."""
    return any(part >= 1 for part in (_share(used.seconds, budget.seconds), *_hours(used, budget)))


def allows_trial(used: Spent, budget: BudgetConfig) -> bool:
    """Return whether another trial may be started."""
    return budget.trials is None or used.trials < budget.trials


def allows_epochs(used: Spent, budget: BudgetConfig, epochs: int) -> bool:
    """Return whether this number of epochs may be trained."""
    return budget.total_epochs is None or used.epochs + epochs <= budget.total_epochs


def share(used: Spent, budget: BudgetConfig) -> float:
    """Return the share of the budget that is spent: of what will be spent first."""
    trials, epochs = _share(used.trials, budget.trials), _share(used.epochs, budget.total_epochs)
    return min(1.0, max(trials, epochs, _share(used.seconds, budget.seconds), *_hours(used, budget)))


def _hours(used: Spent, budget: BudgetConfig) -> tuple[float, float]:
    return _share(used.cpu_hours, budget.cpu_hours), _share(used.gpu_hours, budget.gpu_hours)


def _share(used: float, limit: float | None) -> float:
    return 0.0 if limit is None else used / limit


def _epochs(trial: FrozenTrial) -> int:
    """Return the epochs of a trial: those that it was stopped after, or those of its rung."""
    results = results_of(trial)
    return max(results if trial.state.is_finished() and results else epochs_of(trial), default=0)
