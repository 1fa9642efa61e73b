"""ASHA, asynchronous successive halving: a worker never waits for others (Li et al. 2020, algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from darts.blackbox.schedulers.scheduler import Decision, Promote, Record, Start, State, ranked, rungs_to
from darts.config.ranges import require


@dataclass(frozen=True)
class ASHA:
    """Promote a trial as soon as it is among the best ``1 / eta`` of its rung; else start another.

    ``eta``: factor of epochs from rung to rung; ``min_epochs``: of the first rung. A rung with fewer than
    ``eta`` values promotes none. Trials stay paused, so that a study that gets a larger budget promotes them.
    """

    eta: int = 3
    min_epochs: int = 1

    def __post_init__(self) -> None:
        require(self, from_2=("eta",), from_1=("min_epochs",))

    def start(self, epochs: int) -> Asynchronous:
        """Return the schedule."""
        return Asynchronous(rungs_to(epochs, self.eta, self.min_epochs), self.eta)


@dataclass(frozen=True)
class Asynchronous:
    """The schedule of ASHA."""

    rungs: tuple[int, ...]
    eta: int

    def following(self, records: Sequence[Record], may_start: bool) -> Decision:
        """Promote from the longest rung that can promote, or start a trial."""
        for rung, longer in reversed(list(pairwise(self.rungs))):
            reached = ranked(records, rung)
            for record in reached[: len(reached) // self.eta]:
                if record.state is State.PAUSED and record.epochs == rung:
                    return Decision(Promote(record.number, longer))
        return Decision(Start(0, self.rungs[0]) if may_start else None)
