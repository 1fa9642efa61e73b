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
    """A map from logits to gates. Gates of candidates that the table does not allow are exactly 0.

    One whose parameters cannot begin near 0 has ``initial`` too, as ``Method.initial``.
    """

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        """Gates for one forward pass. ``progress`` is the share of the search that is done, in [0, 1], ``()``."""

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        """The expected gates."""


@dataclass(frozen=True)
class Softmax:
    """Softmax over each decision's candidates (DARTS, Liu et al. 2019, equation 2)."""

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        return masked(logits, table).softmax(-1)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)


def linear(first: float, last: float, progress: Tensor) -> Tensor:
    """A schedule from ``first`` to ``last``; ``progress`` is in [0, 1], ``()``."""
    return first + (last - first) * progress


def masked(logits: Tensor, table: ChoiceTable) -> Tensor:
    """The logits, those of candidates that are not allowed at minus infinity: a softmax gives them exactly 0."""
    return logits if table.allowed is None else logits.masked_fill(~table.mask_on(logits.device), -torch.inf)


RELAXATIONS: dict[str, Relaxation] = {"softmax": Softmax()}
