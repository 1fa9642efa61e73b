"""A scheduler of trials: how many epochs each architecture is trained before it is compared with the others.

A record of options ``start``s a schedule for the largest number of epochs. A schedule decides on the records of the
trials alone: whoever asks it with the same records gets the same answer, so that an interrupted study continues
as it would have, and any process may ask. A trial that is promoted continues from its own checkpoint.

A rung is a number of epochs after which trials are compared; the last one is the whole training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class State(Enum):
    """The state of a trial for a scheduler."""

    RUNNING = "it is being trained, or was interrupted and will be continued"
    PAUSED = "it has reached its rung and may be promoted"
    OVER = "it is complete, failed or pruned"


@dataclass(frozen=True)
class Record:
    """The record of a trial.

    Attributes:
        number: of the trial in its study; the earlier of two equal trials wins.
        bracket: that it was started in, counted from 0.
        epochs: the rung that it has reached or is being trained for.
        results: epochs -> value after them, the larger the better.
    """

    number: int
    bracket: int
    epochs: int
    results: Mapping[int, float]
    state: State


@dataclass(frozen=True)
class Start:
    """Train a new architecture."""

    bracket: int
    epochs: int


@dataclass(frozen=True)
class Promote:
    """Continue a paused trial to the next rung."""

    number: int
    epochs: int


@dataclass(frozen=True)
class Decision:
    """The decision of a schedule.

    Attributes:
        job: the next thing to do; None where nothing can be done before a running trial has ended, or at all.
        lost: numbers of paused trials that will not be promoted any more.
    """

    job: Start | Promote | None
    lost: tuple[int, ...] = ()


class Schedule(Protocol):
    """The rungs of one study."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """All numbers of epochs after which trials are compared, the smallest first; the last is the whole training."""
        ...

    def following(self, records: Sequence[Record], may_start: bool) -> Decision:
        """Return what to do next.

        Args:
            records: of all trials that were started.
            may_start: whether the budget allows another trial.
        """
        ...


class Scheduler(Protocol):
    """The options of a scheduler."""

    def start(self, epochs: int) -> Schedule:
        """Return the schedule for trainings of up to ``epochs``."""
        ...


def rungs_to(epochs: int, eta: int, least: int) -> tuple[int, ...]:
    """Return ``epochs`` divided by the powers of ``eta``, rounded down, from ``least`` on; the smallest first.

    In whole numbers: the logarithm of 243 to the base 3 in floating point is less than 5, which would lose a rung.
    """
    rungs = [epochs]
    while (shorter := epochs // eta ** len(rungs)) >= max(least, 1):
        rungs.append(shorter)
    return tuple(reversed(rungs))


def ranked(records: Sequence[Record], rung: int) -> list[Record]:
    """Return the trials that have a value at a rung, the best first, the earlier one among equals."""
    return sorted((each for each in records if rung in each.results), key=lambda r: (-r.results[rung], r.number))


@dataclass(frozen=True)
class WholeTrainings:
    """Train every architecture for all epochs: no scheduler."""

    def start(self, epochs: int) -> OneRung:
        """Return the schedule of a single rung."""
        return OneRung((epochs,))


@dataclass(frozen=True)
class OneRung:
    """The schedule of whole trainings."""

    rungs: tuple[int, ...]

    def following(self, records: Sequence[Record], may_start: bool) -> Decision:
        """Start another trial while the budget allows it."""
        return Decision(Start(0, self.rungs[-1]) if may_start else None)
