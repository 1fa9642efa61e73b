"""The budget of a search: what its trials have used, and whether another may begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from darts.blackbox.records import CPU_SECONDS, GPU_SECONDS, INFEASIBLE, SECONDS, epochs_of, is_queued, results_of
from darts.config.blackbox import BudgetConfig


@dataclass(frozen=True)
class Spent:
    """What the trials of a study have used, in the units of ``BudgetConfig``.

    Attributes:
        epochs: that were trained, or are being trained, in all.
    """

    trials: int
    epochs: int
    seconds: float
    cpu_hours: float
    gpu_hours: float


def spent(trials: Sequence[FrozenTrial]) -> Spent:
    """Return what trials have used; those that are enqueued, or over a limit, have used nothing."""
    begun = [trial for trial in trials if not is_queued(trial) and INFEASIBLE not in trial.user_attrs]
    return Spent(
        trials=len(begun),
        epochs=sum(_epochs(trial) for trial in begun),
        seconds=_total(begun, SECONDS),
        cpu_hours=_total(begun, CPU_SECONDS) / 3600,
        gpu_hours=_total(begun, GPU_SECONDS) / 3600,
    )


def out_of_time(used: Spent, budget: BudgetConfig) -> bool:
    """Return whether seconds or hours are spent: then nothing is begun or promoted any more."""
    return any(part >= 1 for part in (_share(used.seconds, budget.seconds), *_hours(used, budget)))


def allows_trial(used: Spent, budget: BudgetConfig) -> bool:
    """Return whether another trial may be started."""
    return budget.trials is None or used.trials < budget.trials


def allows_epochs(used: Spent, budget: BudgetConfig, epochs: int) -> bool:
    """Return whether so many epochs may be trained."""
    return budget.total_epochs is None or used.epochs + epochs <= budget.total_epochs


def share(used: Spent, budget: BudgetConfig) -> float:
    """Return the share of the budget that is spent: of what will be spent first."""
    trials, epochs = _share(used.trials, budget.trials), _share(used.epochs, budget.total_epochs)
    return min(1.0, max(trials, epochs, _share(used.seconds, budget.seconds), *_hours(used, budget)))


def _hours(used: Spent, budget: BudgetConfig) -> tuple[float, float]:
    return _share(used.cpu_hours, budget.cpu_hours), _share(used.gpu_hours, budget.gpu_hours)


def _share(used: float, limit: float | None) -> float:
    return 0.0 if limit is None else used / limit


def _total(trials: Sequence[FrozenTrial], attribute: str) -> float:
    return sum(trial.user_attrs.get(attribute, 0.0) for trial in trials)


def _epochs(trial: FrozenTrial) -> int:
    """Return the epochs of a trial: those that it was stopped after, or those of its rung."""
    results = results_of(trial)
    return max(results if trial.state.is_finished() and results else epochs_of(trial), default=0)
