"""The best epoch of a training on its validation part, and early stopping after epochs that were no better."""

from __future__ import annotations

from collections.abc import Mapping

from darts.training.objective import ranked_by


class BestEpoch:
    """Compares the epochs of a training by validation accuracy, or by validation loss where there is no accuracy.

    Args:
        patience: epochs without improvement after which the training is over; None for never.

    Attributes:
        values: of the epochs so far, the larger the better; all of its state.
    """

    def __init__(self, patience: int | None):
        self.patience = patience
        self.values: list[float] = []

    def is_best(self, figures: Mapping[str, float]) -> bool:
        """Note the figures of an epoch, ``valid_loss`` and so on; return whether none before was better."""
        valid = {name: value for name, value in figures.items() if name.startswith("valid_")}
        key, sign = ranked_by(valid)
        self.values.append(sign * valid[f"valid_{key}"])
        return self.values[-1] >= max(self.values)

    @property
    def is_over(self) -> bool:
        """Whether the last ``patience`` epochs were no better than one before them."""
        if self.patience is None:
            return False
        return len(self.values) - 1 - self.values.index(max(self.values)) >= self.patience
