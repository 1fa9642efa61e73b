"""The standing of an architecture among all of a benchmark."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """The standing of an architecture among all.

    Attributes:
        valid_accuracy, test_accuracy: after training, as shares of 1.
        rank: by test accuracy, from 1; equals share the best rank.
        regret: test accuracy of the best architecture minus this one's.
        architectures: number of all.
    """

    valid_accuracy: float
    test_accuracy: float
    rank: int
    regret: float
    architectures: int

    def __str__(self) -> str:
        accuracies = f"{100 * self.valid_accuracy:.2f} % validation, {100 * self.test_accuracy:.2f} % test"
        rank = f"rank {self.rank:,} of {self.architectures:,}, regret {100 * self.regret:.2f} %"
        return f"true accuracy {accuracies}, {rank}"

    def figures(self) -> dict[str, float]:
        """Return true accuracies, rank and regret, as a search logs them."""
        return {
            "true_valid_accuracy": self.valid_accuracy,
            "true_test_accuracy": self.test_accuracy,
            "true_rank": self.rank,
            "true_regret": self.regret,
        }


def standing(valid: float, test: float, descending: Sequence[float]) -> Standing:
    """Return the standing of accuracies in percent among the test accuracies of all, the largest first."""
    return Standing(
        valid_accuracy=valid / 100,
        test_accuracy=test / 100,
        rank=1 + bisect_left(descending, -test, key=lambda value: -value),
        regret=(descending[0] - test) / 100,
        architectures=len(descending),
    )
