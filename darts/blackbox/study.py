"""A search without gradients as a study of Optuna: trial after trial until the budget is spent, resumed after any end.

The study lives in ``study.db`` (SQLite) in the run's folder, or in a storage that several workers share. A trial holds
the decisions that took part, the genotype and its hash, the figures of its evaluation, and the seconds that it took;
one that failed or was stopped holds the reason. What a worker does next is decided on these records, by one worker at a
time. A trial that was interrupted is continued under its own number, by whichever worker comes first, so that none is
lost or counted twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from optuna.trial import Trial as OptunaTrial

from darts.blackbox import budget as budgets
from darts.blackbox.evaluation import ACCURACY, Plan, carry_out
from darts.blackbox.ledger import Ledger
from darts.blackbox.locks import Claims, NoLocks
from darts.blackbox.objectives import Goals
from darts.blackbox.points import ArchitectureDecisions, Decisions
from darts.blackbox.records import (
    BRACKET,
    EPOCHS,
    INFEASIBLE,
    MAX_INFEASIBLE,
    SEARCH,
    Records,
    epochs_of,
    fault_of,
    is_queued,
    is_unfinished,
)
from darts.blackbox.schedulers.scheduler import Decision, Promote, Start
from darts.blackbox.storage import Storage
from darts.errors import UserError
from darts.retraining.evaluator import Evaluator, OutOfTime
from darts.training.progress import pluralize
from genotypes.errors import kind_and_text

FILE = "study.db"
TRIALS = "trials"
"""Folder of the trials' own files, in the run's folder."""

SETTINGS = "settings"
"""Attribute of a study: what its trials depend on."""

POLL = 0.2
"""Seconds between two readings of the trials of other workers, where there is nothing else to do."""


def open_study(
    storage: Storage,
    name: str,
    sampler: optuna.samplers.BaseSampler,
    settings: Mapping[str, Any],
    goals: Goals = ACCURACY,
    advice: str = "choose another `run.name`",
    decisions: Decisions | None = None,
    records: Records = SEARCH,
) -> Study:
    """Open a study in a storage, or make it.

    Args:
        settings: what the trials depend on; a study of other settings is not continued.
        goals: whose directions a new study has.
        advice: what to do where the study is another one.
        decisions: that the trials make; None where they are not known.
        records: what is known of trials that a search has recorded.

    Raises:
        UserError: where the study is of other settings, or holds what no search has recorded.
    """
    try:
        study = _study(storage, name, sampler, goals)
        found = study.user_attrs.get(SETTINGS, settings)
        trials = storage.records.get_all_trials(study._study_id, deepcopy=False)  # a study hides those of equal numbers
        directions = study.directions
    except Exception as error:  # SQLAlchemy's, json's, or Optuna's own
        reason = kind_and_text(error)
        raise UserError(f"{storage.name}: a damaged study ({reason}); {advice}") from None
    if not isinstance(found, dict):
        raise UserError(f"{storage.name}: a damaged study ('settings' is {str(found)[:40]!r}); {advice}")
    for field_name in dict.fromkeys([*settings, *found]):
        theirs, ours = found.get(field_name), settings.get(field_name)
        if theirs != ours:
            raise UserError(f"{storage.name}: made with `{field_name}` {str(theirs)[:80]}, not {ours}; {advice}")
    fault = "it has other directions" if directions != goals.directions else None
    fault = fault or fault_of(trials, records, decisions, objectives=len(directions))
    if fault:
        raise UserError(f"{storage.name}: a damaged study ({fault}); {advice}")
    if SETTINGS not in study.user_attrs:
        study.set_user_attr(SETTINGS, dict(settings))
    return study


def _study(storage: Storage, name: str, sampler: optuna.samplers.BaseSampler, goals: Goals) -> Study:
    """Return the study of a name. One that is there is only read: a search that is refused leaves no trace in it."""
    try:
        return optuna.load_study(study_name=name, storage=storage.records, sampler=sampler)
    except KeyError:
        return optuna.create_study(
            storage=storage.records,
            sampler=sampler,
            study_name=name,
            directions=goals.directions,
            load_if_exists=True,  # another worker may have made it meanwhile
        )


def search(
    study: Study,
    decisions: ArchitectureDecisions,
    evaluator: Evaluator,
    plan: Plan,
    folder: Path,
    claims: Claims | None = None,
) -> None:
    """Evaluate architectures until the budget is spent, and no other worker of the study has anything left to do.

    Where the time of the plan's clock is over, the search ends before; it continues when it is called again.

    Args:
        folder: of the run; each trial has one of its own in it.
        claims: the locks that the study's workers share; None where there is one worker.

    Raises:
        UserError: where no architecture within the limits is found.
    """
    claims = claims or Claims(NoLocks(), study._study_id)
    ledger, waiting = Ledger(study), False
    while plan.clock.allows_another():
        with claims.deciding():
            ledger = ledger.read()
            trial = _next(ledger, plan, claims)
        if isinstance(trial, int):
            if trial == 0:
                return
            if not waiting:
                plan.listener.say(f"waiting for {pluralize(trial, 'trial')} of other workers")
            waiting = True
            time.sleep(POLL)
            continue
        waiting = False
        try:
            carry_out(ledger, trial, decisions, evaluator, plan, folder / TRIALS / str(trial.number))
        except OutOfTime:
            break
        finally:
            claims.release(trial.number)
        ledger = ledger.read()
        plan.listener.report(trial.number, ledger)
    plan.listener.say("--max-hours: no time for another trial; --resume continues")


def _next(ledger: Ledger, plan: Plan, claims: Claims) -> OptunaTrial | int:
    """Claim a trial that was interrupted, or one that the schedule promotes or starts.

    Returns:
        The trial; where there is none, the number of trials that other workers are running.
    """
    study, trials = ledger.study, ledger.trials
    begun = [trials[number] for number in ledger.unfinished if is_unfinished(trials[number])]
    for trial in begun:
        if claims.claim(trial.number):
            now = study._storage.get_trial(trial._trial_id)
            if is_unfinished(now):
                return _set_running(study, now)
            claims.release(trial.number)  # its worker has finished it meanwhile
            return _next(ledger.read(), plan, claims)
    running, used = len(begun), ledger.spent
    if budgets.out_of_time(used, plan.budget):
        return running
    _check_limits(trials)
    decision = _decide(ledger, used, plan)
    for number in decision.lost:
        study._storage.set_trial_state_values(trials[number]._trial_id, TrialState.RUNNING)
        study.tell(number, state=TrialState.PRUNED)
    if isinstance(decision.job, Promote):
        promoted = trials[decision.job.number]
        claims.claim(promoted.number, wait=True)  # its last worker is about to give it back
        _give(study, promoted, promoted.user_attrs[BRACKET], [*epochs_of(promoted), decision.job.epochs])
        return _set_running(study, promoted)
    if isinstance(decision.job, Start):
        return _started(ledger, decision.job, claims)
    return running


def _check_limits(trials: Sequence[FrozenTrial]) -> None:
    over = list(takewhile(bool, (trial.user_attrs.get(INFEASIBLE) for trial in reversed(trials[-MAX_INFEASIBLE:]))))
    if len(over) == MAX_INFEASIBLE:
        raise UserError(f"`limits`: each of the last {len(over)} architectures exceeds one, the last with {over[0]}")


def _decide(ledger: Ledger, used: budgets.Spent, plan: Plan) -> Decision:
    """Ask the schedule; where its job does not fit the budget, ask for one without new trials."""
    trials, records = ledger.trials, ledger.records
    decision = Decision(None)
    left = plan.last is None or len(trials) < plan.last
    for may_start in dict.fromkeys([left and budgets.allows_trial(used, plan.budget), False]):
        decision = plan.rungs.following(records, may_start)
        job = decision.job
        done = epochs_of(trials[job.number])[-1] if isinstance(job, Promote) else 0
        if job is not None and budgets.allows_epochs(used, plan.budget, job.epochs - done):
            return decision
    return Decision(None, () if decision.job else decision.lost)


def _started(ledger: Ledger, job: Start, claims: Claims) -> OptunaTrial:
    """Begin a trial that was enqueued, or a new one."""
    study = ledger.study
    queued = next((ledger.trials[number] for number in ledger.unfinished if is_queued(ledger.trials[number])), None)
    if queued is not None:
        claims.claim(queued.number)
        _give(study, queued, job.bracket, [job.epochs])
        return _set_running(study, queued)
    template = optuna.trial.create_trial(
        state=TrialState.RUNNING, user_attrs={BRACKET: job.bracket, EPOCHS: [job.epochs]}
    )
    trial_id = study._storage.create_new_trial(study._study_id, template_trial=template)
    claims.claim(study._storage.get_trial_number_from_id(trial_id))
    return _opened(study, trial_id)


def _give(study: Study, trial: FrozenTrial, bracket: int, epochs: Sequence[int]) -> None:
    """Record what a trial is trained for. A worker that is killed now leaves an interrupted trial."""
    study._storage.set_trial_user_attr(trial._trial_id, BRACKET, bracket)
    study._storage.set_trial_user_attr(trial._trial_id, EPOCHS, list(epochs))


def _set_running(study: Study, trial: FrozenTrial) -> OptunaTrial:
    if trial.state == TrialState.WAITING:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    return _opened(study, trial._trial_id)


def _opened(study: Study, trial_id: int) -> OptunaTrial:
    """Return a trial to suggest values for, of a study whose trials are read anew: ``ask`` would take a paused one."""
    return OptunaTrial(Study(study.study_name, study._storage, study.sampler), trial_id)
