"""The record of a search by trials in its folder: a study of Optuna, in a journal file that its tools open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from darts.artifacts.user_folder import STUDY
from darts.blackbox.points import Decisions
from darts.blackbox.records import Records
from darts.blackbox.storage import JOURNAL, open_storage
from darts.blackbox.study import open_study

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def open_record(
    folder: Path,
    sampler: BaseSampler,
    settings: Mapping[str, Any],
    records: Records,
    decisions: Decisions | None = None,
) -> Study:
    """Open the study in a folder, or make it.

    Args:
        settings: what the trials depend on.
        records: what is known of trials that the search has recorded.
        decisions: that the trials make; None where they are not known.

    Raises:
        UserError: where the study is of other settings, or the file is no study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    storage = open_storage(f"{JOURNAL}{folder / STUDY}")
    advice = "choose another `run`"
    return open_study(storage, "search", sampler, settings, advice=advice, decisions=decisions, records=records)


def interrupted(study: Study) -> Iterator[Trial]:
    """Yield the trials that were begun and not ended: a process was killed while they were trained."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        yield Trial(study, trial._trial_id)


def ended(study: Study) -> list[FrozenTrial]:
    """Return the trials that took time, without those that repeated an earlier one."""
    return [trial for trial in study.get_trials(deepcopy=False, states=ENDED) if "seconds" in trial.user_attrs]


def completed(study: Study) -> list[FrozenTrial]:
    """Return the trials that were trained to the end."""
    return [trial for trial in ended(study) if trial.state == TrialState.COMPLETE]


def best_of(study: Study) -> FrozenTrial | None:
    """Return the trial of the largest value, the earliest among equals; None where none was completed."""
    return max(completed(study), key=lambda trial: float(trial.value or 0.0), default=None)


def repeated(study: Study, trial: Trial) -> bool:
    """Return whether a trial's parameters were tried before; then it gets the result of that trial."""
    known = next((other for other in ended(study) if other.params == trial.params), None)
    if known is None:
        return False
    if known.state == TrialState.COMPLETE:
        study.tell(trial, known.value)
    else:
        study.tell(trial, state=known.state)
    return True
