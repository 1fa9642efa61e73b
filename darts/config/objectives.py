"""The objectives of a search without gradients, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """A figure that a search optimizes.

    Attributes:
        maximized: whether it is maximized; else minimized.
        figure: its name among the figures of a score.
    """

    maximized: bool
    figure: str


OBJECTIVES: dict[str, Objective] = {
    "accuracy": Objective(True, "valid_accuracy"),
    "proxy": Objective(True, "proxy"),
    "loss": Objective(False, "valid_loss"),
    "parameters": Objective(False, "parameters"),
    "multiply_adds": Objective(False, "multiply_adds"),
    "memory_accesses": Objective(False, "memory_accesses"),
    "memory": Objective(False, "memory"),
    "latency": Objective(False, "latency_ms"),
    "seconds": Objective(False, "seconds"),
}
"""Name -> an objective."""
