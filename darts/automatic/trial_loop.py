"""The loop of every search by trials here: ``darts.fit``, ``darts.search`` by a strategy, ``darts.tune``.

Trials that an earlier process left unfinished come first, under their own numbers. One that was tried before gets the
result of that time; one that fails is recorded with its reason, and the search continues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.study import Study
from optuna.trial import Trial, TrialState

from darts.automatic.records import best_of, ended, interrupted, repeated
from darts.blackbox.evaluation import ends_a_trial
from darts.blackbox.records import REASON, SECONDS
from darts.errors import UserError
from darts.training.loop import Diverged

REPEATS = 50
"""Trials known already, one after the other, after which all are taken to be known."""

MAX_INFEASIBLE = 500
"""Architectures over a limit, one after the other, after which a search ends."""


class Infeasible(UserError):
    """An architecture costs more than a limit allows; it was not trained."""


@dataclass(frozen=True)
class Result:
    """What a trial has given.

    Attributes:
        value: the larger, the better; None where the trial was given up.
        said: for people, after the number of the trial.
        records: attributes of the trial, plain values.
        keep: writes what belongs to the best trial; called where this is the best so far.
    """

    value: float | None
    said: str
    records: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[], None] = lambda: None


def run_trials(
    study: Study,
    judge: Callable[[Trial], Result],
    *,
    trials: int | None,
    say: Callable[[Trial, str], None],
    suggest: Callable[[Trial], object] | None = None,
    is_spent: Callable[[], bool] = lambda: False,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Judge trial after trial.

    Args:
        study: with what earlier processes have recorded.
        judge: builds and trains what a trial suggests.
        trials: number of trials, those of earlier processes included; None for no limit.
        say: is called with a trial and what became of it.
        suggest: asks a trial for all of its parameters, where these are known before it is judged; then no trial is
            judged twice.
        is_spent: whether there is no time for a further trial.
        after: is called after each trial.

    Raises:
        UserError: where no architecture is within the limits.
    """
    waiting, repeats, infeasible = list(interrupted(study)), 0, 0
    while waiting or not (repeats == REPEATS or is_spent() or (trials is not None and len(ended(study)) >= trials)):
        trial = waiting.pop(0) if waiting else study.ask()
        if suggest is not None:
            suggest(trial)
            if repeated(study, trial):
                repeats += 1
                continue
        began = time.monotonic()
        try:
            result = judge(trial)
        except Infeasible as error:
            infeasible += 1
            study.tell(trial, state=TrialState.FAIL)
            if infeasible < MAX_INFEASIBLE:
                continue
            if best_of(study) is not None:
                return
            raise UserError(f"`limits`: each of {infeasible} architectures exceeds one, the last: {error}") from None
        except (Diverged, RuntimeError, MemoryError) as error:
            if not ends_a_trial(error):
                raise
            trial.set_user_attr(REASON, str(error)[:200])
            trial.set_user_attr(SECONDS, time.monotonic() - began)
            study.tell(trial, state=TrialState.FAIL)
            say(trial, f"failed: {error}")
            after()
            continue
        repeats = infeasible = 0
        for name, value in {SECONDS: time.monotonic() - began, **result.records}.items():
            trial.set_user_attr(name, value)
        if result.value is None:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            best = best_of(study)
            if best is None or result.value > float(best.value or 0.0):
                result.keep()
            study.tell(trial, result.value)
        say(trial, result.said)
        after()
