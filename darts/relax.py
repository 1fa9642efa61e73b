"""Relaxations: how logits become gates.

A relaxation is stateless. ``gates`` is what the network is called with; ``strength`` is its mean, for evaluation and
for deriving an architecture. Both map ``(e, o)`` to ``(e, o)``.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from supernet.choice import ChoiceTable


class Relaxation(Protocol):
    """A map from logits to gates."""

    def gates(self, logits: Tensor, table: ChoiceTable, progress: float, generator: torch.Generator) -> Tensor:
        """Gates for one forward pass. ``progress`` is the share of the search that is done, in [0, 1]."""

    def strength(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        """The expected gates."""


@dataclass(frozen=True)
class Softmax:
    """Softmax over each decision's candidates (DARTS, Liu et al. 2019, equation 2)."""

    def gates(self, logits: Tensor, table: ChoiceTable, progress: float, generator: torch.Generator) -> Tensor:
        return logits.softmax(-1)

    def strength(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return logits.softmax(-1)


RELAXATIONS: dict[str, Relaxation] = {"softmax": Softmax()}
