"""What is minimized: classification, unless the data set or the user defines another objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.objective import Call, Objective, Outcome


class Classification(Objective):
    """Mean cross-entropy of ``(inputs, labels)``; ``accuracy`` counts the labels that have the highest score."""

    def __call__(self, network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
        """Evaluate on inputs of any shape ``(b, ...)`` and labels ``(b,)``."""
        inputs, labels = batch
        scores = network(inputs)
        scores = scores.float() if scores.dtype.itemsize < 4 else scores
        correct = (scores.argmax(1) == labels).sum()
        return Outcome(F.cross_entropy(scores, labels), {"accuracy": correct, "images": torch.tensor(len(labels))})


classification = Classification()
"""The default objective; it has no state."""


class UserLoss(Objective):
    """A user's own loss.

    Args:
        loss: (network, batch) -> mean over the batch, a scalar.
    """

    def __init__(self, loss: Callable[[Call, Any], Tensor]):
        self.loss = loss

    def __call__(self, network: Call, batch: Any) -> Outcome:
        """Evaluate on a batch of any form."""
        return Outcome(self.loss(network, batch), {"images": torch.tensor(examples(batch))})


def examples(batch: Any) -> int:
    """Return the number of examples in a batch: the length of the first tensor in it; 1 where there is none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((examples(part) for part in parts), 1)


def ranked_by(figures: Mapping[str, float]) -> tuple[str, int]:
    """Return the figure by which networks are ranked, and 1 where more of it is better, -1 where less is.

    It is the accuracy, or the loss where there is no accuracy.
    """
    return ("accuracy", 1) if any(name.endswith("accuracy") for name in figures) else ("loss", -1)
