"""The records of a trial in a study of Optuna, by their names, and how schedulers, budgets and strategies read it.

A trial that was promoted has several ``epochs``, one for each rung; its intermediate values are those of the first
objective. A paused trial is ``WAITING``, as Optuna calls it: a worker that promotes it sets it running again.

What a worker does next is decided on the records alone, and a storage is a file that accidents and other programs write
to: when a study is opened, ``fault_of`` finds a record that no search has written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from darts.artifacts.tuned import TUNED
from darts.blackbox.points import Decisions
from darts.blackbox.schedulers.scheduler import Record, State
from darts.config.ranges import is_number
from genotypes import load
from genotypes.faults import GenotypeError

BRACKET = "bracket"
EPOCHS = "epochs"
"""The rungs that a trial was started for and promoted to, in order."""
GENOTYPE, HASH = "genotype", "hash"
VALUES = "values"
"""Figures of the last evaluation."""
NOTES = "notes"
"""Further remarks on an evaluation, as short texts (``Score.notes``)."""
OBJECTIVES = "objectives"
"""Epochs -> the value of each objective after them."""
SECONDS, CPU_SECONDS, GPU_SECONDS = "seconds", "cpu_seconds", "gpu_seconds"
REASON = "reason"
"""Why a trial failed or was stopped."""
CONSTRAINTS = "constraints"
"""Name of a cost -> its relative excess over the limit, negative within it."""
INFEASIBLE = "infeasible"
"""Which limits the architecture of a trial exceeds, in words; it was not evaluated."""

MAX_INFEASIBLE = 500
"""Architectures over a limit, one after the other, after which a search gives up."""


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


@dataclass(frozen=True)
class Form:
    """The form of an attribute: how a message names it, and whether a value has it."""

    text: str
    holds: Callable[[Any], bool]


def _is_genotype(value: Any) -> bool:
    try:
        return isinstance(value, str) and load(value) is not None
    except GenotypeError:
        return False


def _is_list(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(map(holds, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_value(value: Any) -> bool:
    """Whether a value is that of an objective, which may be infinite; a database holds text in any column."""
    return isinstance(value, int | float) and not math.isnan(value)


def _are_figures(value: Any) -> bool:
    """Whether a value is an object of numbers; some figures of an architecture may be infinite."""
    return isinstance(value, dict) and all(
        type(each) is float or (type(each) is int and abs(each) < 2**63) for each in value.values()
    )


def _are_results(value: Any) -> bool:
    if not isinstance(value, dict) or not value:
        return False
    return all(
        name.isascii() and name.isdigit() and len(name) < 10 and _is_list(each, is_number)
        for name, each in value.items()
    )


TEXT = Form("text", lambda value: isinstance(value, str))
TIME = Form("a number of seconds", lambda value: is_number(value) and value >= 0)
COUNT = Form("a whole number from 0", _is_count)
FIGURES = Form("an object of numbers", _are_figures)
NUMBERS = Form("a list of numbers", lambda value: _is_list(value, is_number))
OBJECT = Form("an object", lambda value: isinstance(value, dict))


@dataclass(frozen=True)
class Records:
    """What is known of the records of a search's trials.

    Attributes:
        forms: attribute of a trial -> its form; other attributes are not looked at.
        complete: attributes that a complete trial has, but for one that repeats another and took no time.
        together: attributes that are there together.
    """

    forms: Mapping[str, Form]
    complete: tuple[str, ...] = ()
    together: tuple[str, ...] = ()


def _rises(values: Sequence[int]) -> bool:
    return values[0] > 0 and all(a < b for a, b in pairwise(values))


SEARCH = Records(
    {
        BRACKET: COUNT,
        EPOCHS: Form("a list of rising numbers", lambda value: _is_list(value, _is_count) and _rises(value)),
        GENOTYPE: Form("a genotype", _is_genotype),
        HASH: TEXT,
        VALUES: FIGURES,
        NOTES: OBJECT,
        OBJECTIVES: Form("an object of numbers of epochs and the values after them", _are_results),
        SECONDS: TIME,
        CPU_SECONDS: TIME,
        GPU_SECONDS: TIME,
        REASON: TEXT,
        INFEASIBLE: TEXT,
        TUNED: OBJECT,
        CONSTRAINTS: FIGURES,
    },
    complete=(BRACKET, EPOCHS, GENOTYPE, VALUES, OBJECTIVES),
    together=(BRACKET, EPOCHS),
)
"""Of a search without gradients; a study of another program may have trials without attributes."""


def fault_of(
    trials: Sequence[FrozenTrial], records: Records, decisions: Decisions | None, *, objectives: int
) -> str | None:
    """Return what is wrong with the trials of a study, in words; None where nothing is.

    Args:
        decisions: that trials make; None where they are not known.
        objectives: how many values a trial has.
    """
    for place, trial in enumerate(trials):
        fault = "is missing" if trial.number != place else _attribute_fault(trial, records)
        fault = fault or _value_fault(trial, objectives) or _optuna_fault(trial)
        if not fault and decisions is not None:
            fault = _decision_fault(trial, decisions)
        if fault:
            return f"trial {place + 1} {fault}"
    return None


def _attribute_fault(trial: FrozenTrial, records: Records) -> str | None:
    known = trial.user_attrs
    for name, form in records.forms.items():
        if name in known and not form.holds(known[name]):
            return f"has '{name}' {str(known[name])[:40]!r}, which is not {form.text}"
    needed = records.complete if trial.state == TrialState.COMPLETE and SECONDS in known else ()
    if any(name in known for name in records.together):
        needed += records.together
    return next((f"lacks '{name}'" for name in needed if name not in known), None)


def _value_fault(trial: FrozenTrial, objectives: int) -> str | None:
    results = trial.user_attrs.get(OBJECTIVES, {})
    found = [*results.values(), *([trial.values or ()] if trial.state == TrialState.COMPLETE else [])]
    wrong = next((values for values in found if len(values) != objectives or not all(map(_is_value, values))), None)
    return None if wrong is None else f"has the values {str(list(wrong))[:40]}; it must be {objectives}, each a number"


def _optuna_fault(trial: FrozenTrial) -> str | None:
    """Return what is wrong with what Optuna records itself: parameters, intermediate values and constraints."""
    for name, value in trial.params.items():
        if not isinstance(name, str) or not _is_offered(trial.distributions[name], value):
            return f"has {str(name)[:60]!r} {str(value)[:40]!r}, which is none of the values that it was chosen from"
    between = next((value for value in trial.intermediate_values.values() if not isinstance(value, int | float)), None)
    if between is not None:
        return f"has the intermediate value {str(between)[:40]!r}, which is not a number"
    for name, value in trial.system_attrs.items():
        values = value if name == CONSTRAINTS else [value] if name.startswith(f"{CONSTRAINTS}:") else []
        if not isinstance(values, list) or not all(map(_is_value, values)):
            return f"has '{name[:60]}' {str(value)[:40]!r}, which is not of numbers"
    return None


def _is_offered(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):
        return False


def _decision_fault(trial: FrozenTrial, decisions: Decisions) -> str | None:
    point: dict[str, str] = {}
    while (decision := decisions.following(point)) is not None and decision.name in trial.params:
        value, offered = trial.params[decision.name], trial.distributions[decision.name]
        known = isinstance(offered, CategoricalDistribution) and tuple(offered.choices) == decision.values
        if not known or value not in decision.values:
            return f"has {decision.name[:60]!r} {str(value)[:40]!r}, which this search does not offer"
        point[decision.name] = value
    return None
