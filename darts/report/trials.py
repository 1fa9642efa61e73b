"""The trials of a search without gradients, as its run's folder records them, and what can be computed of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from darts.artifacts.run_folder import read_list
from darts.artifacts.run_record import RunRecord
from darts.blackbox.pareto.fronts import Outcome, Values, front_of, larger_better
from darts.config.objectives import OBJECTIVES
from darts.config.ranges import is_number

FILE = "trials.json"
MIN_TRIALS = 8
"""Trials with a decision from which on its importance is computed."""

GROUPS = 4
"""Groups of about equally many trials into which a numerical parameter's values are cut."""


@dataclass(frozen=True)
class TrialRow:
    """A trial.

    Attributes:
        number: from 1.
        state: complete, fail, pruned, paused, running, infeasible.
        values: of the objectives after its last training; None where it has none, or they are not finite.
        epochs: of that training.
        params: its decisions and tuned values, by name.
        seconds: that its evaluations took.
        reason: why it failed, was stopped, or was not trained.
        genotype: as a text.
    """

    number: int
    state: str
    values: Values | None
    epochs: int
    params: Mapping[str, Any]
    seconds: float
    reason: str
    genotype: str


@dataclass(frozen=True)
class StudyRecord:
    """The trials of a run.

    Attributes:
        run: the record of the run.
        objectives: names of ``OBJECTIVES``.
        trials: in the order of their numbers.
    """

    run: RunRecord
    objectives: tuple[str, ...]
    trials: tuple[TrialRow, ...]

    @property
    def maximized(self) -> list[bool]:
        """Whether each objective is maximized; one that is not known is."""
        return [name not in OBJECTIVES or OBJECTIVES[name].maximized for name in self.objectives]

    @property
    def evaluated(self) -> list[TrialRow]:
        """The trials that can be compared: within the limits, and trained for as long as any."""
        known = [
            trial for trial in self.trials if trial.values is not None and trial.state not in ("fail", "infeasible")
        ]
        longest = max((trial.epochs for trial in known), default=0)
        return [trial for trial in known if trial.epochs == longest]

    @property
    def front(self) -> list[TrialRow]:
        """The Pareto set, by the first objective, best first: as ``pareto.json`` numbers it."""
        trials = self.evaluated
        return [trials[index] for index in front_of([Outcome(self.oriented(trial)) for trial in trials])]

    def oriented(self, trial: TrialRow) -> Values:
        """Return the values of an evaluated trial, the larger the better."""
        return larger_better(trial.values or (), self.maximized)

    def incumbents(self) -> list[tuple[int, float, float]]:
        """Return (trial, seconds of all evaluations so far, best first objective so far) whenever that improves.

        The last entry is that of the last trial.
        """
        found: list[tuple[int, float, float]] = []
        comparable = {trial.number for trial in self.evaluated}
        best, seconds = None, 0.0
        for trial in self.trials:
            seconds += trial.seconds
            if trial.number in comparable and trial.values:
                value = self.oriented(trial)[0]
                if best is None or value > best:
                    best = value
                    found.append((trial.number, seconds, trial.values[0]))
        if found and found[-1][0] != self.trials[-1].number:
            found.append((self.trials[-1].number, seconds, found[-1][2]))
        return found


def is_study(record: RunRecord) -> bool:
    """Whether a run is a search without gradients."""
    return record.kind == "search" and "strategy" in record.config and "budget.epochs" in record.config


def read_study(record: RunRecord) -> StudyRecord:
    """Return the trials of a run; none where it has not recorded any yet. Entries that are no trials are left out."""
    names = tuple(str(record.config.get("objectives") or "accuracy").split(","))
    rows = read_list(record.folder / FILE)
    trials = [_trial(row, len(names)) for row in rows if isinstance(row, dict) and type(row.get("trial")) is int]
    return StudyRecord(record, names, tuple(sorted(trials, key=lambda trial: trial.number)))


def _trial(row: Mapping[str, Any], count: int) -> TrialRow:
    results = row.get("objectives")
    counts = results.items() if isinstance(results, dict) else ()
    known = {int(key): value for key, value in counts if key.isascii() and key.isdigit() and len(key) < 10}
    epochs = max(known, default=0)
    values = known.get(epochs, [row.get("value")])
    finite = isinstance(values, list) and len(values) == count and all(map(is_number, values))
    seconds, params = row.get("seconds"), row.get("params")
    return TrialRow(
        number=row["trial"],
        state=str(row.get("state")),
        values=tuple(values) if finite else None,
        epochs=epochs,
        params={name: value for name, value in params.items() if isinstance(value, str | int | float)}
        if isinstance(params, dict)
        else {},
        seconds=float(seconds) if is_number(seconds) else 0.0,
        reason=str(row.get("reason") or row.get("infeasible") or ""),
        genotype=str(row.get("genotype") or ""),
    )


def importances(study: StudyRecord) -> list[tuple[str, float, int]]:
    """Return (decision, share of the variance of the first objective that it explains, trials), the largest first.

    The share is omega squared of a one-way analysis of variance (Hays 1963), over the trials in which the decision
    takes part: the variance between its values minus what as many random groups would show, so that a decision with
    many values is not preferred. Decisions of fewer than ``MIN_TRIALS`` trials are left out. Numbers with many values
    are cut into ``GROUPS`` groups. It holds for each decision by itself; interactions are not seen.
    """
    found = []
    names = dict.fromkeys(name for trial in study.evaluated for name in trial.params)
    for name in names:
        pairs = [(trial.params[name], study.oriented(trial)[0]) for trial in study.evaluated if name in trial.params]
        if len(pairs) >= MIN_TRIALS:
            found.append((name, _omega_squared(_grouped(pairs)), len(pairs)))
    return sorted(found, key=lambda each: -each[1])


def _grouped(pairs: Sequence[tuple[Any, float]]) -> list[list[float]]:
    """Return the values of the objective for each value of a decision, or each group of its numbers."""
    values = {value for value, _ in pairs}
    if len(values) > 2 * GROUPS and all(map(is_number, values)):
        ordered = [objective for _, objective in sorted(pairs)]
        ends = [len(ordered) * group // GROUPS for group in range(GROUPS + 1)]
        return [ordered[begin:end] for begin, end in pairwise(ends)]
    groups: dict[Any, list[float]] = {}
    for value, objective in pairs:
        groups.setdefault(value, []).append(objective)
    return list(groups.values())


def _omega_squared(groups: Sequence[Sequence[float]]) -> float:
    everything = [value for group in groups for value in group]
    free = len(everything) - len(groups)
    if len(groups) < 2 or free < 1:
        return 0.0
    centre = statistics.fmean(everything)
    total = sum((value - centre) ** 2 for value in everything)
    between = sum(len(group) * (statistics.fmean(group) - centre) ** 2 for group in groups)
    noise = (total - between) / free
    return max(0.0, (between - (len(groups) - 1) * noise) / (total + noise)) if total > 0 else 0.0
