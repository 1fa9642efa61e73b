"""The protocol of stoppers: asked after each epoch of a trial whether its training should end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from darts.blackbox.schedulers.scheduler import Record


class Stopper(Protocol):
    """The options of a stopper, which decides on the records of the trials alone."""

    def reason(self, trial: Record, others: Sequence[Record], epochs: int) -> str | None:
        """Return why a trial should be stopped; None where it should continue.

        Args:
            trial: with the value of its last epoch.
            others: all other trials of the study.
            epochs: of the whole training.
        """
        ...
