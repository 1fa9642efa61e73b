"""The position of a run: the epoch and step at which it stands, and the running sums of its epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from darts.processes import Ranks

MAX_ROLLBACKS = 3
"""Rollbacks after which a run gives up; each halves the learning rate."""


class Position:
    """All that the training loop adds to the state of its task.

    Attributes:
        epoch: number of finished epochs.
        within: steps done in the current epoch.
        step: steps done in all.
        attempt: number of rollbacks.
        sums: figures summed over the examples of the current epoch; ``images`` counts the examples.
    """

    def __init__(self) -> None:
        self.epoch = self.within = self.step = self.attempt = 0
        self.sums: dict[str, Tensor] = {}

    @property
    def epoch_start(self) -> int:
        """The number of steps before the current epoch."""
        return self.step - self.within

    def add(self, sums: Mapping[str, Tensor]) -> None:
        """Count one step and add its sums, scalars on any device."""
        for name, value in sums.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        self.step += 1

    def means(self, ranks: Ranks) -> dict[str, float]:
        """Return the figures of the current epoch so far, per example."""
        totals = dict(zip(self.sums, self._totals(ranks)))
        examples = totals.pop("images")
        return {f"train_{name}": value / examples for name, value in totals.items()}

    def gather_sums_on_rank0(self, ranks: Ranks) -> None:
        """Leave the sums of all ranks on rank 0, and zeros on the others, so that they can be saved once."""
        if ranks.count > 1 and self.sums:
            totals = zip(self.sums, self._totals(ranks))
            self.sums = {name: torch.tensor(value if ranks.rank == 0 else 0.0).double() for name, value in totals}

    def _totals(self, ranks: Ranks) -> list[float]:
        return ranks.total(torch.tensor([value.item() for value in self.sums.values()], dtype=torch.float64)).tolist()

    def state(self) -> dict[str, Any]:
        """Return the position as a checkpoint stores it."""
        return dict(vars(self))

    def load(self, state: Mapping[str, Any], ranks: Ranks, epochs: int) -> None:
        """Take over the position of a checkpoint.

        Args:
            epochs: of the task.

        Raises:
            ValueError, TypeError: where it cannot be the position of such a run.
        """
        counts = {name: state[name] for name in ("epoch", "within", "step", "attempt")}
        if any(type(count) is not int or count < 0 for count in counts.values()):
            raise ValueError(f"invalid position {counts}")
        epoch, within, step, attempt = counts.values()
        earlier = step - within
        if epoch > epochs or (within and epoch == epochs) or attempt > MAX_ROLLBACKS or step >= 2**53:
            raise ValueError(f"position {counts} is not of a run of {epochs} epochs")
        if earlier < epoch or (epoch == 0) is not (earlier == 0):
            raise ValueError(f"invalid position {counts}")
        sums = {name: _scalar(name, value) for name, value in state["sums"].items()}
        if within and not sums.get("images", torch.zeros(())) > 0:
            raise ValueError("no sums of an epoch that has begun")
        vars(self).update(counts, sums=sums)
        if ranks.rank > 0:
            self.sums = {name: torch.zeros_like(value) for name, value in self.sums.items()}


def _scalar(name: str, value: Any) -> Tensor:
    if not (isinstance(name, str) and isinstance(value, Tensor) and value.ndim == 0 and value.isfinite()):
        raise ValueError(f"the sum {str(name)[:40]} is no finite number")
    return value.double()
