"""The lines that a search prints: what a trial has reached, the incumbent, failed trials, and the time that is left."""

from __future__ import annotations

import time

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from darts.blackbox import budget as budgets
from darts.blackbox.evaluation import Listener
from darts.blackbox.ledger import Ledger
from darts.blackbox.objectives import Goals
from darts.blackbox.records import INFEASIBLE, REASON, is_paused, results_of
from darts.blackbox.results import last_result
from darts.config.blackbox import BudgetConfig
from darts.training.progress import duration


def listener(ledger: Ledger, goals: Goals, budget: BudgetConfig, console: Console) -> Listener:
    """Return a listener that prints a line for each training of a trial.

    Args:
        ledger: of the study, at the start.
    """
    began, first = time.monotonic(), budgets.share(ledger.spent, budget)

    def report(number: int, ledger: Ledger) -> None:
        done = budgets.share(ledger.spent, budget)
        elapsed = time.monotonic() - began
        left = duration(elapsed * (1 - done) / (done - first)) if first < done < 1 else None
        console.print(trial_line(number, ledger, goals, budget, left), highlight=False, markup=False)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False)

    return Listener(report, say)


def trial_line(number: int, ledger: Ledger, goals: Goals, budget: BudgetConfig, left: str | None) -> str:
    """Return the line of a trial that was trained, completed or stopped, has failed, or is over a limit.

    Args:
        number: of the trial, from 0.
        ledger: of the study, read after its training.
        left: time to the end of the budget; None where that is not known.
    """
    total = f"/{budget.trials}" if budget.trials and not goals.limits else ""
    parts = [_result(ledger.trials[number], goals, budget)]
    best, used = ledger.best, ledger.spent
    if best is not None:
        parts.append(f"best {goals.shown(best.objectives)} (trial {best.number + 1})")
    parts.append(f"{used.seconds:,.0f} s" + (f" of {budget.seconds:,.0f}" if budget.seconds else ""))
    if ledger.failed:
        parts.append(f"{ledger.failed} failed")
    if left is not None:
        parts.append(f"about {left} left")
    return f"trial {number + 1:>4}{total}  {', '.join(parts)}"


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
