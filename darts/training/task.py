"""What the training loop asks of a search or a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from darts.training.evaluate import ReportProgress


class Task(Protocol):
    """A search or a training, as the loop sees it.

    Attributes:
        evaluation_steps: batches that ``end_epoch`` evaluates.
        attempt: number of rollbacks after a non-finite loss. Each halves the learning rate of the weights and changes
            the order of examples.
    """

    kind: str
    evaluation_steps: int
    attempt: int

    @property
    def epochs(self) -> int:
        """Number of epochs; may shrink when a search is stopped."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of an epoch."""

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Prepare this step of this epoch, both counted from 0."""

    def step(self) -> Mapping[str, Tensor]:
        """Take one step; return sums over this rank's shard of the batch, scalars; ``images`` counts the examples."""

    def end_epoch(self, epoch: int, report: ReportProgress) -> dict[str, Any]:
        """Evaluate, calling ``report`` after each batch; return figures for the log, numbers for the curves too."""

    def replicas(self) -> Mapping[str, Tensor]:
        """Return tensors that must be equal on all ranks."""

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on: tensors and plain values, equal on all ranks."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to that state."""
