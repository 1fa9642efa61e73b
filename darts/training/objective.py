"""What is minimized: a function of a network and a batch. Classification, unless the data or a user want another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Call = Callable[..., Any]
"""A network as a function of its inputs: weights and gates are settled."""


class Outcome(NamedTuple):
    """Of one batch.

    Attributes:
        loss: mean over the batch, a scalar.
        sums: further figures, summed over the batch; ``images`` counts its examples.
        extra: what weights that train descend beside the loss, a scalar; nothing where not given.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]
    extra: Tensor | None = None

    @property
    def descended(self) -> Tensor:
        """What weights that train descend."""
        return self.loss if self.extra is None else self.loss + self.extra


Objective = Callable[[Call, Any], Outcome]
"""(network, batch) -> outcome. It may have a function ``figures``, from means over a split to further figures."""


def classification(network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
    """Mean cross-entropy of ``(inputs, labels)``, and how many labels have the highest score."""
    inputs, labels = batch
    scores = network(inputs)
    scores = scores.float() if scores.dtype.itemsize < 4 else scores
    correct = (scores.argmax(1) == labels).sum()
    return Outcome(F.cross_entropy(scores, labels), {"accuracy": correct, "images": torch.tensor(len(labels))})


def own(loss: Callable[[Call, Any], Tensor]) -> Objective:
    """The objective of a user's own loss, (network, batch) -> mean over the batch."""

    def objective(network: Call, batch: Any) -> Outcome:
        return Outcome(loss(network, batch), {"images": torch.tensor(examples(batch))})

    return objective


def examples(batch: Any) -> int:
    """How many examples a batch holds: the length of the first tensor in it; 1 where there is none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((examples(part) for part in parts), 1)


def ranked_by(figures: Mapping[str, float]) -> tuple[str, int]:
    """The figure by which networks are ranked, and 1 where more of it is better: accuracy, or where none is, loss."""
    return ("accuracy", 1) if any(name.endswith("accuracy") for name in figures) else ("loss", -1)
