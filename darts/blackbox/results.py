"""What a study has found: its best trial, and those that can be compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from darts.artifacts.tuned import TUNED
from darts.blackbox.objectives import is_feasible, oriented
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


def best(study: Study, trials: Sequence[FrozenTrial] | None = None) -> Best | None:
    """Return the best of the trials that were trained longest; None where none was evaluated.

    It is the best by the first objective, among equals by the others, then the earliest.

    Args:
        trials: all of the study, where they are known.
    """
    reached = comparable(trials or study.get_trials(deepcopy=False))
    if not reached:
        return None
    trial = max(reached, key=lambda trial: (oriented(study, last_result(trial)[1]), -trial.number))
    attributes = trial.user_attrs
    genotype, tuned = load(attributes[GENOTYPE]), attributes.get(TUNED, {})
    return Best(trial.number, genotype, attributes[VALUES], last_result(trial)[1], tuned)


def comparable(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the evaluated trials that were trained longest; they are within the limits."""
    reached = [trial for trial in trials if _is_evaluated(trial)]
    longest = max((last_result(trial)[0] for trial in reached), default=0)
    return [trial for trial in reached if last_result(trial)[0] == longest]


def evaluated(study: Study) -> list[FrozenTrial]:
    """Return the completed trials whose architectures are within the limits."""
    return [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if is_feasible(trial)]


def last_result(trial: FrozenTrial) -> tuple[int, Sequence[float]]:
    """Return the epochs that a trial was trained for, and the value of each objective after them."""
    results = results_of(trial)
    return max(results), results[max(results)]


def _is_evaluated(trial: FrozenTrial) -> bool:
    attributes = trial.user_attrs
    known = VALUES in attributes and INFEASIBLE not in attributes and bool(results_of(trial))
    return known and trial.state != TrialState.FAIL and is_feasible(trial)
