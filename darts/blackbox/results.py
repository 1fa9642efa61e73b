"""The results of a study: its best trial, and those that can be compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from darts.artifacts.tuned import TUNED
from darts.blackbox.objectives import is_feasible, oriented
from darts.blackbox.pareto.fronts import Values
from darts.blackbox.records import GENOTYPE, INFEASIBLE, VALUES, results_of
from genotypes import Genotype, load


@dataclass(frozen=True)
class Best:
    """The best trial of a study.

    Attributes:
        number: from 0.
        genotype: its architecture.
        values: the figures of its last evaluation.
        objectives: their values.
        tuned: path of each tuned field -> its value.
    """

    number: int
    genotype: Genotype
    values: Mapping[str, float]
    objectives: Sequence[float]
    tuned: Mapping[str, Any]


Rank = tuple[int, Values, int]
"""Epochs that a trial was trained for, values of its objectives, the larger the better, and its number with its sign
turned: the best trial has the largest."""


def best(study: Study) -> Best | None:
    """Return the best of the trials that were trained longest; None where none was evaluated.

    It is the best by the first objective, among equals by the others, then the earliest.
    """
    trials = study.get_trials(deepcopy=False)
    return best_of(trials, [rank_of(study, trial) for trial in trials])


def best_of(trials: Sequence[FrozenTrial], ranks: Sequence[Rank | None]) -> Best | None:
    """Return the trial of the highest rank; None where none has one.

    Args:
        trials: in the order of their numbers, from 0.
        ranks: of each trial.
    """
    highest = max((rank for rank in ranks if rank is not None), default=None)
    if highest is None:
        return None
    trial = trials[-highest[2]]
    attributes = trial.user_attrs
    genotype, tuned = load(attributes[GENOTYPE]), attributes.get(TUNED, {})
    return Best(trial.number, genotype, attributes[VALUES], last_result(trial)[1], tuned)


def rank_of(study: Study, trial: FrozenTrial) -> Rank | None:
    """Return what a trial is compared with others by; None where it was not evaluated."""
    if not _is_evaluated(trial):
        return None
    epochs, values = last_result(trial)
    return epochs, oriented(study, values), -trial.number


def comparable(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the evaluated trials that were trained longest; they are within the limits."""
    reached = [trial for trial in trials if _is_evaluated(trial)]
    longest = max((last_result(trial)[0] for trial in reached), default=0)
    return [trial for trial in reached if last_result(trial)[0] == longest]


def last_result(trial: FrozenTrial) -> tuple[int, Sequence[float]]:
    """Return the epochs that a trial was trained for, and the value of each objective after them."""
    results = results_of(trial)
    return max(results), results[max(results)]


def _is_evaluated(trial: FrozenTrial) -> bool:
    attributes = trial.user_attrs
    known = attributes.keys() >= {GENOTYPE, VALUES} and INFEASIBLE not in attributes and bool(results_of(trial))
    return known and trial.state != TrialState.FAIL and is_feasible(trial)
