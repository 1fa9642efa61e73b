"""The trials of a study, and what budgets, schedules and progress lines ask of them; a finished trial is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from darts.blackbox.budget import Spent, spent_by, total
from darts.blackbox.records import INFEASIBLE, epochs_of, record_of
from darts.blackbox.results import Best, Rank, best_of, rank_of
from darts.blackbox.schedulers.scheduler import Record


class Entry(NamedTuple):
    """The entry of a trial.

    Attributes:
        spent: its part of the budget.
        record: as schedulers see it; None for one over a limit, or of another program.
        rank: that it is compared with others by; None where it cannot be.
        failed: whether it failed.
    """

    spent: Spent
    record: Record | None
    rank: Rank | None
    failed: bool


@dataclass(frozen=True)
class Ledger:
    """The trials of a study as they were when they were read.

    Attributes:
        study: whose trials they are.
        trials: in the order of their numbers.
        entries: one for each of them.
        unfinished: numbers of those that may change.
    """

    study: Study
    trials: tuple[FrozenTrial, ...] = ()
    entries: tuple[Entry, ...] = ()
    unfinished: tuple[int, ...] = ()

    def read(self) -> Ledger:
        """Return the ledger of the trials as they are now."""
        trials = tuple(self.study.get_trials(deepcopy=False))
        entries = list(self.entries)
        for number in self.unfinished:
            entries[number] = self._entry(trials[number])
        entries += map(self._entry, trials[len(entries) :])
        changed = [*self.unfinished, *range(len(self.trials), len(trials))]
        unfinished = tuple(number for number in changed if not trials[number].state.is_finished())
        return Ledger(self.study, trials, tuple(entries), unfinished)

    @property
    def spent(self) -> Spent:
        """The budget that the trials have used."""
        return total([entry.spent for entry in self.entries])

    @property
    def records(self) -> list[Record]:
        """The trials as schedulers see them; those over a limit take no place in a rung."""
        return [entry.record for entry in self.entries if entry.record is not None]

    @property
    def best(self) -> Best | None:
        """The best trial; None where none was evaluated."""
        return best_of(self.trials, [entry.rank for entry in self.entries])

    @property
    def failed(self) -> int:
        """The number of failed trials."""
        return sum(entry.failed for entry in self.entries)

    def _entry(self, trial: FrozenTrial) -> Entry:
        scheduled = epochs_of(trial) and INFEASIBLE not in trial.user_attrs
        record = record_of(trial, self.study.directions[0]) if scheduled else None
        return Entry(spent_by(trial), record, rank_of(self.study, trial), trial.state == TrialState.FAIL)
