"""The protocol of an objective: what is minimized, a function of a network and a batch.

The data set carries its objective where it is not classification (language modelling). The objectives of images and of
a user's own loss stand in ``darts.training.objective``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

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


class Objective(ABC):
    """The base class of objectives: (network, batch) -> outcome."""

    @abstractmethod
    def __call__(self, network: Call, batch: Any) -> Outcome:
        """Evaluate the network on a batch, whose form is that of the data set's splits."""

    def figures(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return further figures, computed from the means over a whole split; none by default."""
        return {}
