"""The lines that a search prints: what a trial has reached, the incumbent, failed trials, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from darts.blackbox import budget as budgets
from darts.blackbox.evaluation import Listener
from darts.blackbox.objectives import Goals
from darts.blackbox.records import INFEASIBLE, REASON, is_paused, results_of
from darts.blackbox.results import Best, best, last_result
from darts.config.blackbox import BudgetConfig
from darts.training.progress import duration, pluralize


def listener(study: Study, goals: Goals, budget: BudgetConfig, console: Console) -> Listener:
    """Return a listener that prints a line for each training of a trial."""
    began, first = time.monotonic(), budgets.share(budgets.spent(study.get_trials(deepcopy=False)), budget)

    def report(trial: FrozenTrial) -> None:
        trials = study.get_trials(deepcopy=False)
        done = budgets.share(budgets.spent(trials), budget)
        elapsed = time.monotonic() - began
        left = duration(elapsed * (1 - done) / (done - first)) if first < done < 1 else None
        best_so_far = best(study, trials)
        console.print(trial_line(trial, trials, best_so_far, goals, budget, left), highlight=False, markup=False)

    def waits(running: int) -> None:
        console.print(f"waiting for {pluralize(running, 'trial')} of other workers", highlight=False)

    return Listener(report, waits)


def trial_line(
    trial: FrozenTrial,
    trials: Sequence[FrozenTrial],
    found: Best | None,
    goals: Goals,
    budget: BudgetConfig,
    left: str | None,
) -> str:
    """Return the line of a trial that was trained, completed or stopped, has failed, or is over a limit.

    Args:
        trials: all of the study.
        found: the best of them.
        left: time to the end of the budget; None where that is not known.
    """
    total = f"/{budget.trials}" if budget.trials and not goals.limits else ""
    parts = [_result(trial, goals, budget)]
    if found is not None:
        parts.append(f"best {goals.shown(found.objectives)} (trial {found.number + 1})")
    used = budgets.spent(trials)
    parts.append(f"{used.seconds:,.0f} s" + (f" of {budget.seconds:,.0f}" if budget.seconds else ""))
    if failed := sum(each.state == TrialState.FAIL for each in trials):
        parts.append(f"{failed} failed")
    if left is not None:
        parts.append(f"about {left} left")
    return f"trial {trial.number + 1:>4}{total}  {', '.join(parts)}"


def _result(trial: FrozenTrial, goals: Goals, budget: BudgetConfig) -> str:
    reason = trial.user_attrs.get(REASON, "")
    if INFEASIBLE in trial.user_attrs:
        return f"not trained: {trial.user_attrs[INFEASIBLE]}"
    if trial.state == TrialState.FAIL or not results_of(trial):
        return f"failed: {reason[:100]}"
    if reason:
        return reason
    epochs, values = last_result(trial)
    return goals.shown(values) + (f" after {epochs} of {budget.epochs} epochs" if is_paused(trial) else "")
