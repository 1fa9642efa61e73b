"""The protocol of an objective: what is minimized, a function of a network and a batch.

The data set carries its objective where it is not classification (language modelling, segmentation, detection). The
objectives of classification and of a user's own loss stand in ``darts.training.objective``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts.processes import Ranks

Call = Callable[..., Any]
"""A network as a function of its inputs: weights and gates are fixed."""


class Outcome(NamedTuple):
    """The value of an objective on one batch.

    Attributes:
        loss: mean over the batch, a scalar.
        sums: further figures, summed over the batch; ``images`` counts its examples.
        extra: a scalar that is added to the loss where weights are trained (a regularizer, an auxiliary head); None for
            none.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]
    extra: Tensor | None = None

    @property
    def descended(self) -> Tensor:
        """The value whose gradient trains the weights: ``loss + extra``."""
        return self.loss if self.extra is None else self.loss + self.extra


@dataclass(frozen=True)
class Rows:
    """Figures of an evaluation that are concatenated over a split where sums are added up: a row for each thing found.

    Attributes:
        parts: tensors of equal width, each ``(rows, width)``, float64.
    """

    parts: tuple[Tensor, ...]

    def __add__(self, other: Rows) -> Rows:
        return Rows(self.parts + other.parts)

    def gathered(self, ranks: Ranks) -> Tensor:
        """Return the rows of all ranks in their order, ``(rows, width)``, on the CPU."""
        own = torch.cat(self.parts).cpu()
        counts = torch.zeros(ranks.count, dtype=torch.long)
        counts[ranks.rank] = len(own)
        ends = ranks.total(counts).cumsum(0)
        rows = own.new_zeros(int(ends[-1]), own.shape[1])
        rows[ends[ranks.rank] - len(own) : ends[ranks.rank]] = own
        return ranks.total(rows)


def at_least_single(scores: Tensor) -> Tensor:
    """Return scores of half precision in single precision, in which losses are computed; others as they are."""
    return scores.float() if scores.dtype.itemsize < 4 else scores


class Objective(ABC):
    """The base class of objectives: (network, batch) -> outcome."""

    @abstractmethod
    def __call__(self, network: Call, batch: Any) -> Outcome:
        """Evaluate the network on a batch, whose form is that of the data set's splits."""

    def evaluate(self, network: Call, batch: Any) -> tuple[Tensor, Mapping[str, Tensor | Rows]]:
        """Return the loss on a batch of an evaluation, and its sums.

        The sums may have those that only ``figures`` reads: tensors of any shape, and rows. By default they are those
        of a training step.
        """
        loss, sums, _ = self(network, batch)
        return loss, sums

    def figures(self, means: Mapping[str, float], arrays: Mapping[str, Tensor]) -> dict[str, float]:
        """Return further figures of a whole split; none by default.

        Args:
            means: of the sums that are scalars.
            arrays: the sums of any other shape, and the rows, over the split; float64, on the CPU.
        """
        return {}

    def predictions(self, network: Call, batch: Any, classes: Sequence[str]) -> dict[str, bytes]:
        """Return files that show people what a network predicts on a batch: name -> content; none by default.

        A report shows ``predictions.png`` and ``predictions.txt``.

        Args:
            classes: name of each class.
        """
        return {}
