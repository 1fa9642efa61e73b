"""The best epoch of a training on its validation part, and early stopping after epochs that were no better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from darts.artifacts.checkpoint import canonical
from darts.training.objective import score_of


class BestEpoch:
    """Compares the epochs of a training by validation accuracy, or by validation loss where there is no accuracy.

    Args:
        patience: epochs without improvement after which the training is over; None for never.

    Attributes:
        values: of the epochs so far, the larger the better.
        kept: ``epoch`` (counted from 1), ``figures`` and ``network`` (weights) of the best epoch; empty before.
    """

    def __init__(self, patience: int | None):
        self.patience = patience
        self.values: list[float] = []
        self.kept: dict[str, Any] = {}

    def note(self, epoch: int, figures: Mapping[str, float], network: nn.Module) -> None:
        """Note an epoch, counted from 0; keep its figures and weights where none before was better."""
        if self.is_best(figures):
            weights = canonical(network.state_dict())
            self.kept = {"epoch": epoch + 1, "figures": figures, "network": weights}

    def is_best(self, figures: Mapping[str, float]) -> bool:
        """Note the figures of an epoch, ``valid_loss`` and so on; return whether none before was better."""
        value = score_of(figures)
        self.values.append(-math.inf if math.isnan(value) else value)
        return self.values[-1] >= max(self.values)

    @property
    def is_over(self) -> bool:
        """Whether the last ``patience`` epochs were no better than one before them."""
        if self.patience is None:
            return False
        return len(self.values) - 1 - self.values.index(max(self.values)) >= self.patience

    def state(self) -> dict[str, Any]:
        """Return all that the next epoch is compared with."""
        return {"values": self.values, "kept": self.kept}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to that state."""
        self.values, self.kept = list(state["values"]), state["kept"]
