"""Jobs of an experiment, each done once, by any number of processes on any number of machines.

The jobs are trials of a study in a storage of Optuna (``darts.blackbox.storage``): a worker claims one under the
study's locks, does it, and records its figures there. The claim of a worker that was killed ends with it, and the job
is continued by the next one in the same folder of runs. A job that is recorded is never done again; jobs that an
experiment asks for later are added to its study.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from darts.blackbox.locks import Claims
from darts.blackbox.records import OBJECT, SECONDS, TEXT, TIME, Records
from darts.blackbox.storage import STORAGE_ERRORS, open_storage, sqlite
from darts.blackbox.study import FILE, POLL, open_study
from darts.cli import say
from darts.errors import UserError
from darts.report.figures import duration
from darts.training.loop import Interrupted
from darts.training.progress import pluralize
from genotypes.errors import first_line
from supernet.bench.machine import machine

JOB, KIND, FIGURES, MACHINE = "job", "kind", "figures", "machine"
"""Attributes of a job's trial, beside its ``SECONDS``."""

RECORDS = Records(
    {JOB: TEXT, KIND: TEXT, FIGURES: OBJECT, SECONDS: TIME, MACHINE: OBJECT},
    complete=(JOB, KIND, FIGURES, SECONDS, MACHINE),
    together=(JOB, KIND),
)

Figures = dict[str, Any]
"""What a job has found, as JSON can hold it."""


@dataclass(frozen=True)
class Job:
    """Something to be done once.

    Attributes:
        name: of the job in its experiment.
        kind: of job; the time that is left is estimated from the finished jobs of the same kind.
        do: does it, or continues it where a killed worker has left it, given the figures of the jobs done so far.
        needs: names of the jobs that must be done before.
    """

    name: str
    kind: str
    do: Callable[[Mapping[str, Figures]], Figures]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """The record of an experiment's jobs in a storage.

    Attributes:
        name: of the storage, as messages show it.
        study: whose trials are the jobs.
        claims: the locks that its workers share.
        machine: of this worker, as a record of what it does holds it.
    """

    name: str
    study: Study
    claims: Claims
    machine: Mapping[str, Any]

    def done(self) -> dict[str, Figures]:
        """Return the figures of all jobs that are done, by name, in the order in which the experiment has them."""
        return {trial.user_attrs[JOB]: trial.user_attrs[FIGURES] for trial in self.finished()}

    def seconds(self) -> dict[str, float]:
        """Return the seconds that each job took that is done; of one that was killed, since it was continued."""
        return {trial.user_attrs[JOB]: trial.user_attrs[SECONDS] for trial in self.finished()}

    def machines(self) -> list[dict[str, Any]]:
        """Return the machines, with their versions, that have done jobs, each once."""
        found = [trial.user_attrs[MACHINE] for trial in self.finished()]
        return [each for place, each in enumerate(found) if each not in found[:place]]

    def finished(self) -> list[FrozenTrial]:
        """Return the trials of the jobs that are done."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if _is_done(trial)]


def open_experiment(folder: Path, address: str | None, settings: Mapping[str, Any], device: torch.device) -> Experiment:
    """Open the record of an experiment, or make it.

    Args:
        folder: of the experiment; its name is that of the study.
        address: of a storage that workers on several machines share; None for a file in the folder.
        settings: what the jobs depend on.
        device: of this worker.

    Raises:
        UserError: where the record is that of other settings, or the storage cannot be opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    storage = open_storage(address or sqlite(folder / FILE))
    sampler = optuna.samplers.RandomSampler(seed=0)  # is asked for nothing
    study = open_study(storage, folder.name, sampler, settings, advice="choose another `name`", records=RECORDS)
    return Experiment(storage.name, study, Claims(storage.locks, study._study_id), machine(device))


def carry_out(experiment: Experiment, jobs: Sequence[Job], console: Console) -> dict[str, Figures]:
    """Do every job that is not done, beside other workers; return the figures of all, by name.

    Returns:
        When all of ``jobs`` are done, whoever has done them.

    Raises:
        UserError: where a job fails, which is then done by the next worker, or the storage is gone.
        Interrupted: after a signal, when the job's run is saved.
    """
    waiting = False
    try:
        while True:
            with experiment.claims.deciding():
                trial, left = _claimed(experiment, jobs)
            if trial is None and not left:
                found = experiment.done()
                return {job.name: found[job.name] for job in jobs}
            if trial is None:
                if not waiting:
                    say(console, f"waiting for {pluralize(left, 'job')} of other workers")
                waiting = True
                time.sleep(POLL)
                continue
            waiting = False
            job = next(job for job in jobs if job.name == trial.user_attrs[JOB])
            say(console, _progress(experiment, jobs, job))
            began = time.monotonic()
            try:
                _record(experiment, trial, job.do(experiment.done()), time.monotonic() - began)
            except Interrupted as stopped:
                text = f"stopped in {job.name}; the state is saved. Continue with the same command"
                raise Interrupted(text, stopped.code) from None
            finally:
                experiment.claims.release(trial.number)
    except STORAGE_ERRORS as error:
        reason = first_line(error)
        raise UserError(f"{experiment.name}: the storage is gone ({reason}); start the same command again") from None


def _claimed(experiment: Experiment, jobs: Sequence[Job]) -> tuple[FrozenTrial | None, int]:
    """Return a job that this worker has claimed, or None, and the number of jobs that are not done."""
    study = experiment.study
    trials = _by_name(study)
    missing = [job for job in jobs if job.name not in trials]
    for job in missing:
        attributes = {JOB: job.name, KIND: job.kind}
        study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attributes))
    trials = _by_name(study) if missing else trials
    done = {name for name, trial in trials.items() if _is_done(trial)}
    open_jobs = [job for job in jobs if job.name not in done]
    for job in open_jobs:
        if done.issuperset(job.needs) and experiment.claims.claim(trials[job.name].number):
            if not _is_done(study.get_trials(deepcopy=False)[trials[job.name].number]):
                return trials[job.name], len(open_jobs)
            experiment.claims.release(trials[job.name].number)  # its worker has finished it meanwhile
    return None, len(open_jobs)


def _by_name(study: Study) -> dict[str, FrozenTrial]:
    return {trial.user_attrs[JOB]: trial for trial in study.get_trials(deepcopy=False)}


def _record(experiment: Experiment, trial: FrozenTrial, figures: Figures, seconds: float) -> None:
    study = experiment.study
    for name, value in ((FIGURES, figures), (SECONDS, seconds), (MACHINE, dict(experiment.machine))):
        study._storage.set_trial_user_attr(trial._trial_id, name, value)
    study.tell(trial.number, seconds)


def _is_done(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE


def _progress(experiment: Experiment, jobs: Sequence[Job], job: Job) -> str:
    """Return a line: which job begins, how many are done, and how long the others will take one worker."""
    trials = experiment.finished()
    took: dict[str, list[float]] = {}
    for trial in trials:
        took.setdefault(trial.user_attrs[KIND], []).append(trial.user_attrs[SECONDS])
    done = {trial.user_attrs[JOB] for trial in trials}
    left = [each for each in jobs if each.name not in done]
    known = all(each.kind in took for each in left)
    rest = sum(sum(took[each.kind]) / len(took[each.kind]) for each in left) if known else 0.0
    time_left = f", {duration(rest)} of work left" if known else ""
    return f"{job.name}: job {len(jobs) - len(left) + 1} of {len(jobs)}{time_left}"
