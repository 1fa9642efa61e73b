"""What a study of Optuna records of a trial, by names, and how schedulers, budgets and strategies read it.

A trial that was promoted has several ``epochs``, one for each rung; its intermediate values are those of the first
objective. A paused trial is ``WAITING``, as Optuna calls it: a worker that promotes it sets it running again.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from darts.blackbox.schedulers.scheduler import Record, State

BRACKET = "bracket"
EPOCHS = "epochs"
"""The rungs that a trial was started for and promoted to, in order."""
GENOTYPE, HASH = "genotype", "hash"
VALUES = "values"
"""Figures of the last evaluation."""
NOTES = "notes"
"""What else an evaluation tells, as short texts (``Score.notes``)."""
OBJECTIVES = "objectives"
"""Epochs -> the value of each objective after them."""
SECONDS, CPU_SECONDS, GPU_SECONDS = "seconds", "cpu_seconds", "gpu_seconds"
REASON = "reason"
"""Why a trial failed or was stopped."""
INFEASIBLE = "infeasible"
"""Which limits the architecture of a trial exceeds, in words; it was not evaluated."""


def epochs_of(trial: FrozenTrial) -> list[int]:
    """Return the rungs that a trial was given; empty for a trial of another program."""
    return list(trial.user_attrs.get(EPOCHS, ()))


def results_of(trial: FrozenTrial) -> dict[int, list[float]]:
    """Return epochs -> the value of each objective after them; for a trial of another program its values after 0."""
    if OBJECTIVES not in trial.user_attrs:
        return {0: list(trial.values)} if trial.state == TrialState.COMPLETE else {}
    return {int(epochs): values for epochs, values in trial.user_attrs[OBJECTIVES].items()}


def first_result(trial: FrozenTrial) -> list[float] | None:
    """Return the value of each objective at a trial's first rung; None where it failed or was stopped before.

    All trials of successive halving can be compared by it, whether they were promoted or not.
    """
    results = results_of(trial)
    return results.get(epochs_of(trial)[0] if OBJECTIVES in trial.user_attrs else 0)


def has_first_result(trial: FrozenTrial) -> bool:
    """Return whether it is known what ``first_result`` returns."""
    return trial.state.is_finished() or first_result(trial) is not None


def is_paused(trial: FrozenTrial) -> bool:
    """Return whether a trial has reached its rung and waits for a promotion."""
    epochs = epochs_of(trial)
    return trial.state == TrialState.WAITING and bool(epochs) and epochs[-1] in results_of(trial)


def is_unfinished(trial: FrozenTrial) -> bool:
    """Return whether a trial of a search has begun and has not reached its rung."""
    return bool(epochs_of(trial)) and not trial.state.is_finished() and not is_paused(trial)


def is_queued(trial: FrozenTrial) -> bool:
    """Return whether a trial was enqueued and not begun."""
    return trial.state == TrialState.WAITING and not epochs_of(trial)


def record_of(trial: FrozenTrial, direction: StudyDirection) -> Record:
    """Return a trial of a search as schedulers see it.

    Args:
        direction: of the first objective, by which trials are compared.
    """
    state = State.OVER if trial.state.is_finished() else State.PAUSED if is_paused(trial) else State.RUNNING
    sign = -1 if direction == StudyDirection.MINIMIZE else 1
    results = {epochs: sign * values[0] for epochs, values in results_of(trial).items()}
    return Record(trial.number, trial.user_attrs[BRACKET], epochs_of(trial)[-1], results, state)


def records_of(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[Record]:
    """Return the trials of a search as schedulers see them; those over a limit take no place in a rung."""
    return [record_of(trial, direction) for trial in trials if epochs_of(trial) and INFEASIBLE not in trial.user_attrs]
