"""What ``darts.search`` knows of strategies without gradients before it imports Optuna for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from darts.blackbox.strategies import STRATEGIES
from darts.config import WeightsConfig


@dataclass(frozen=True)
class TrialSettings:
    """How each architecture is trained.

    Attributes:
        epochs, batch_size, weights: of the training by SGD.
        valid: share of the data that is held out to judge by.
        patience: epochs without improvement after which a training stops; None for never.
        seed: of everything random.
        limits: largest allowed costs of an architecture, as text; None for none.
    """

    epochs: int
    batch_size: int
    weights: WeightsConfig
    valid: float
    patience: int | None
    seed: int
    limits: str | None = None


def is_strategy(method: Any) -> bool:
    """Return whether a method is a strategy without gradients: an object of one, or its name with options."""
    return isinstance(method, tuple(map(type, STRATEGIES.values()))) or (
        isinstance(method, str) and method.partition(":")[0] in STRATEGIES
    )
