"""The evaluation of one trial of a search: trained for the epochs that it was given, from where it stands.

A trial that fails (a loss that is not finite, no memory, a latency that cannot be measured) is recorded with its
reason, and the search continues.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from optuna.study import Study
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState

from darts.artifacts.tuned import TUNED
from darts.benchmarks.protocol import Score
from darts.blackbox.ledger import Ledger
from darts.blackbox.objectives import Costs, Goals, record_constraints, uncounted
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.records import (
    CPU_SECONDS,
    GENOTYPE,
    GPU_SECONDS,
    HASH,
    INFEASIBLE,
    NOTES,
    OBJECTIVES,
    REASON,
    SECONDS,
    VALUES,
    epochs_of,
    results_of,
)
from darts.blackbox.samplers import suggest
from darts.blackbox.schedulers.scheduler import OneRung, Schedule
from darts.blackbox.stoppers import Stopper
from darts.blackbox.tuning import Tuned, suggest_tuned
from darts.config.blackbox import BudgetConfig
from darts.retraining.evaluator import Budget, Evaluator, OutOfTime, Trial
from darts.training.loop import Diverged
from darts.training.out_of_memory import out_of_memory
from genotypes import describe
from supernet.cost.timing import NoisyMachine

ACCURACY = Goals()


@dataclass(frozen=True)
class Listener:
    """Is called while a search makes progress.

    Attributes:
        report: after each training of a trial, with its number and the trials as they are then.
        say: with a line on why the search waits for other workers, or stops before its budget is spent.
    """

    report: Callable[[int, Ledger], None] = lambda number, ledger: None
    say: Callable[[str], None] = lambda text: None


class TimeLimit:
    """The time that a process may take for a search.

    Args:
        deadline: by ``time.monotonic()``; None without a limit.
    """

    def __init__(self, deadline: float | None = None):
        self.deadline = deadline
        self._longest = 0.0

    def took(self, seconds: float) -> None:
        """Note how long a training took."""
        self._longest = max(self._longest, seconds)

    def allows_another(self) -> bool:
        """Whether there is time for another training that takes as long as any before it."""
        return self.deadline is None or time.monotonic() + self._longest < self.deadline


@dataclass(frozen=True)
class Plan:
    """How a search spends its budget.

    Attributes:
        budget: its limits.
        schedule: how long trials are trained; by default all for ``budget.epochs``.
        stoppers: that end trainings early, asked after each epoch.
        gpus: number of GPUs that an evaluation occupies.
        goals: the objectives, and the limits above which an architecture is not evaluated.
        costs: counts what the goals ask for.
        tuned: fields of the configuration that each trial chooses.
        last: trials after which there are no more architectures, those over a limit included; None without end.
        clock: the time that this process may take.
    """

    budget: BudgetConfig
    schedule: Schedule | None = None
    stoppers: Sequence[Stopper] = ()
    gpus: int = 0
    goals: Goals = ACCURACY
    costs: Costs = uncounted
    tuned: Sequence[Tuned] = ()
    listener: Listener = field(default_factory=Listener)
    last: int | None = None
    clock: TimeLimit = field(default_factory=TimeLimit)

    @property
    def rungs(self) -> Schedule:
        """The schedule."""
        return self.schedule or OneRung((self.budget.epochs,))


def carry_out(
    ledger: Ledger,
    trial: OptunaTrial,
    decisions: ArchitectureDecisions,
    evaluator: Evaluator,
    plan: Plan,
    folder: Path,
) -> None:
    """Train a trial for the epochs that it was given, from where it stands, and record the result.

    Raises:
        OutOfTime: where it could not be trained for as long; it continues when the search is resumed.
    """
    study = ledger.study
    point = suggest(trial, decisions)
    if fault := decisions.fault(point):  # samplers of Optuna know no constraint of a space
        _record_infeasible(study, trial, plan, f"no architecture of the space: {fault}", {})
        return
    genotype = decisions.genotype(point)
    trial.set_user_attr(GENOTYPE, describe(genotype))
    trial.set_user_attr(HASH, genotype.hash)
    settings = suggest_tuned(trial, plan.tuned)
    if settings:
        trial.set_user_attr(TUNED, settings)
    try:
        counted = plan.costs(genotype, settings)
    except NoisyMachine as error:
        _fail(study, trial, error)
        return
    if plan.goals.limits:
        record_constraints(trial, plan.goals.excesses(counted))
    if over := plan.goals.infeasible(counted):
        _record_infeasible(study, trial, plan, over, counted)
        return
    frozen = study._storage.get_trial(trial._trial_id)
    rung, results = epochs_of(frozen)[-1], results_of(frozen)
    reached = max(results, default=0)
    for epochs in range(reached + 1, rung + 1) if plan.stoppers else [rung] if reached < rung else []:
        began, cpu = time.monotonic(), time.process_time()
        try:
            score = evaluator(genotype, Budget(epochs), Trial(folder, settings, plan.clock.deadline))
            score = replace(score, values={**counted, **score.values})
            values = plan.goals.values(score)
            if not all(map(math.isfinite, values)):
                raise Diverged(f"its value is {values[0]} after {epochs} epochs")
        except (Diverged, RuntimeError, MemoryError) as error:
            if not ends_a_trial(error):
                raise
            _record_usage(trial, cpu, began, plan.gpus)
            _fail(study, trial, error)
            return
        except OutOfTime:
            _record_usage(trial, cpu, began, plan.gpus)
            raise
        _record_usage(trial, cpu, began, plan.gpus)
        plan.clock.took(time.monotonic() - began)
        results[epochs] = values
        _record_score(study, trial, epochs, score, results)
        if epochs < max(plan.rungs.rungs) and (reason := _stopped(ledger, trial.number, plan)):
            trial.set_user_attr(REASON, reason)
            study.tell(trial.number, state=TrialState.PRUNED)
            return
    if rung == max(plan.rungs.rungs):
        study.tell(trial.number, results[rung])
    else:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def _fail(study: Study, trial: OptunaTrial, error: BaseException) -> None:
    """Record that a trial failed, and why."""
    trial.set_user_attr(REASON, str(error) or type(error).__name__)
    study.tell(trial.number, state=TrialState.FAIL)


def ends_a_trial(error: BaseException) -> bool:
    """Return whether an error ends one trial alone: a loss that diverged, or too little memory."""
    return isinstance(error, Diverged) or out_of_memory(error)


def _record_infeasible(study: Study, trial: OptunaTrial, plan: Plan, reason: str, counted: Mapping[str, float]) -> None:
    """Record a point that is not evaluated, with the costs that are known of it."""
    trial.set_user_attr(INFEASIBLE, reason)
    trial.set_user_attr(VALUES, dict(counted))
    study.tell(trial.number, plan.goals.values_untrained(counted))


def _record_score(
    study: Study, trial: OptunaTrial, epochs: int, score: Score, results: Mapping[int, Sequence[float]]
) -> None:
    """Record a result; ``OBJECTIVES`` last, by which it is known that all is recorded.

    Args:
        results: all of the trial, by their epochs.
    """
    trial.set_user_attr(SECONDS, score.seconds)
    trial.set_user_attr(VALUES, dict(score.values))
    if score.notes:
        trial.set_user_attr(NOTES, dict(score.notes))
    study._storage.set_trial_intermediate_value(trial._trial_id, epochs, results[epochs][0])
    trial.set_user_attr(OBJECTIVES, {str(epochs): list(values) for epochs, values in results.items()})


def _stopped(ledger: Ledger, number: int, plan: Plan) -> str | None:
    """Return why the first stopper ends a trial; None where all let it continue."""
    if not plan.stoppers:
        return None
    records = {record.number: record for record in ledger.read().records}
    trial = records.pop(number)
    reasons = (stopper.reason(trial, list(records.values()), plan.budget.epochs) for stopper in plan.stoppers)
    return next(filter(None, reasons), None)


def _record_usage(trial: OptunaTrial, cpu: float, began: float, gpus: int) -> None:
    """Add the time of the processor, and of the GPUs, since a training has begun."""
    before = trial.user_attrs
    trial.set_user_attr(CPU_SECONDS, before.get(CPU_SECONDS, 0.0) + time.process_time() - cpu)
    if gpus:
        trial.set_user_attr(GPU_SECONDS, before.get(GPU_SECONDS, 0.0) + gpus * (time.monotonic() - began))
