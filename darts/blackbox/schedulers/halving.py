"""Successive halving and Hyperband: brackets whose rungs are compared when they are complete.

Successive halving (Jamieson and Talwalkar 2016) trains ``n`` architectures for a few epochs, promotes the best
``1 / eta`` of them to ``eta`` times as many epochs, and so on. Hyperband (Li et al. 2018, algorithm 1) runs
it with several ``n`` in turn, from many short trainings to a few whole ones. BOHB (Falkner et al. 2018) is Hyperband
whose architectures are proposed by Parzen estimators of the results at the longest rung that has enough of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from darts.blackbox.schedulers.scheduler import Decision, Promote, Record, Start, State, ranked, rungs_to
from darts.config.ranges import choose, require


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving.

    Attributes:
        trials: that enter the first rung.
        rungs: epochs, the smallest first.
        eta: one of ``eta`` trials is promoted; the number of promotions is rounded down, but 1 or more.
    """

    trials: int
    rungs: tuple[int, ...]
    eta: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of trials in each rung."""
        sizes = [self.trials]
        while len(sizes) < len(self.rungs):
            sizes.append(_promotions(sizes[-1], self.eta))
        return tuple(sizes)


@dataclass(frozen=True)
class SuccessiveHalving:
    """Brackets of ``trials`` architectures, one after the other until the budget is spent.

    ``eta``: factor of epochs from rung to rung; one of ``eta`` trials is promoted. ``min_epochs``: of the first
    rung. ``trials``: of a bracket; by default as many as leave one for the last rung.
    """

    eta: int = 3
    min_epochs: int = 1
    trials: int | None = None

    def __post_init__(self) -> None:
        require(self, from_2=("eta",), from_1=("min_epochs", "trials"))

    def start(self, epochs: int) -> Synchronous:
        """Return the schedule: one bracket, again and again."""
        rungs = rungs_to(epochs, self.eta, self.min_epochs)
        trials = self.trials or self.eta ** (len(rungs) - 1)
        return Synchronous((Bracket(trials, rungs, self.eta),))


@dataclass(frozen=True)
class Hyperband:
    """The brackets of Hyperband, in turn until the budget is spent.

    ``eta``: factor of epochs from rung to rung; one of ``eta`` trials is promoted. ``min_epochs``: of the first
    rung of the first bracket. ``sizes``: ``algorithm``, the numbers of trials of the paper's pseudo-code, or ``table``,
    those of its printed table. For 81 epochs the first are 81, 34, 15, 8 and 5, the second 81, 27, 9, 6 and 5.
    """

    eta: int = 3
    min_epochs: int = 1
    sizes: str = "algorithm"

    def __post_init__(self) -> None:
        require(self, from_2=("eta",), from_1=("min_epochs",))
        choose(self, sizes=SIZES)

    def start(self, epochs: int) -> Synchronous:
        """Return the schedule: brackets from the most trials to the longest first rung."""
        rungs = rungs_to(epochs, self.eta, self.min_epochs)
        brackets = []
        for first in range(len(rungs)):
            trials = SIZES[self.sizes](len(rungs), len(rungs) - first, self.eta)
            brackets.append(Bracket(trials, rungs[first:], self.eta))
        return Synchronous(tuple(brackets))


@dataclass(frozen=True)
class BOHB:
    """Hyperband with Parzen estimators: needs the strategy ``tpe``.

    ``random_share`` of the architectures are drawn uniformly. The estimators see the results at the longest rung that
    has more of them than an architecture has decisions. The other options are those of Hyperband.
    """

    eta: int = 3
    min_epochs: int = 1
    sizes: str = "algorithm"
    random_share: float = 1 / 3

    def __post_init__(self) -> None:
        require(self, from_2=("eta",), from_1=("min_epochs",), share=("random_share",))
        choose(self, sizes=SIZES)

    def start(self, epochs: int) -> Synchronous:
        """Return the schedule of Hyperband."""
        return Hyperband(self.eta, self.min_epochs, self.sizes).start(epochs)


def by_algorithm(brackets: int, rungs: int, eta: int) -> int:
    """Return the trials of a bracket by Hyperband's pseudo-code: the budget of a bracket over that of a trial, rounded
    up.

    Args:
        brackets: of one round, s_max + 1.
        rungs: of this bracket, s + 1.
    """
    return -(-brackets * eta ** (rungs - 1) // rungs)


def by_table(brackets: int, rungs: int, eta: int) -> int:
    """Return the trials of a bracket as Hyperband's printed table has them: the quotient is rounded down first."""
    return brackets // rungs * eta ** (rungs - 1)


SIZES = {"algorithm": by_algorithm, "table": by_table}


@dataclass(frozen=True)
class Synchronous:
    """A schedule of brackets, the first again after the last.

    A rung is decided when all of its trials have a value or are over; a failed trial takes a place in its rung and is
    never promoted. A bracket that the budget does not fill is decided among the trials that it has. While a bracket
    waits for its running trials, other workers fill the next one.
    """

    brackets: tuple[Bracket, ...]

    @property
    def rungs(self) -> tuple[int, ...]:
        """All numbers of epochs after which trials are compared."""
        return tuple(sorted({epochs for bracket in self.brackets for epochs in bracket.rungs}))

    def following(self, records: Sequence[Record], may_start: bool) -> Decision:
        """Continue the first bracket in which something can be done."""
        lost: tuple[int, ...] = ()
        members: dict[int, list[Record]] = {}
        for record in records:
            members.setdefault(record.bracket, []).append(record)
        begun = max(members, default=-1) + 1
        for index in range(begun):
            decision = _within(self._bracket(index), index, members.get(index, []), may_start)
            lost += decision.lost
            if decision.job is not None:
                return Decision(decision.job, lost)
        return Decision(Start(begun, self._bracket(begun).rungs[0]) if may_start else None, lost)

    def _bracket(self, index: int) -> Bracket:
        return self.brackets[index % len(self.brackets)]


def _within(bracket: Bracket, index: int, members: Sequence[Record], may_start: bool) -> Decision:
    """Return what to do next in a bracket, and which of its trials are lost."""
    if len(members) < bracket.trials and may_start:
        return Decision(Start(index, bracket.rungs[0]))
    lost: list[int] = []
    for rung, longer in pairwise(bracket.rungs):
        here = [each for each in members if each.epochs == rung]
        if any(each.state is State.RUNNING for each in here):
            break
        promoted = [each for each in members if each.epochs > rung]
        paused = [each for each in ranked(here, rung) if each.state is State.PAUSED]
        if paused and len(promoted) < _promotions(len(members), bracket.eta):
            return Decision(Promote(paused[0].number, longer), tuple(lost))
        lost += [each.number for each in paused]
        members = promoted
    return Decision(None, tuple(lost))


def _promotions(trials: int, eta: int) -> int:
    return max(1, trials // eta)
