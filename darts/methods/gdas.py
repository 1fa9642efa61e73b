"""GDAS: a differentiable architecture sampler (Dong and Yang 2019).

Every forward pass samples one candidate for each edge, by the Gumbel-max trick, and computes that one alone; gradients
pass through the soft sample as if it had been used (equations 3 to 5, the straight-through estimator). The temperature
falls linearly. One sample serves all cells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.relaxations import linear, masked
from darts.config.ranges import require
from darts.methods.method import Method
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class HardGumbel:
    """One-hot samples; their gradient is that of the softmax of the perturbed log-probabilities.

    With ``bare``, as the authors' code does, the gates that are 0 are added to what the edge delivers: this changes no
    value, and hands their logits the sum of the edge's gradient.
    """

    first: float = 10.0
    last: float = 0.1
    bare: bool = False

    def __post_init__(self) -> None:
        require(self, above_0=("first", "last"))

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        soft = perturbed(logits, table, generator).div(linear(self.first, self.last, progress)).softmax(-1)
        hard = torch.zeros_like(soft).scatter_(1, soft.detach().argmax(1, keepdim=True), 1.0)
        return hard + (soft - soft.detach())

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)


def perturbed(logits: Tensor, table: ChoiceTable, generator: torch.Generator) -> Tensor:
    """Log-probabilities plus Gumbel noise, ``(e, o)``: their largest is distributed as the softmax of the logits."""
    exponential = torch.empty_like(logits).exponential_(generator=generator)
    gumbel = -exponential.clamp_min(torch.finfo(logits.dtype).tiny).log()
    return masked(logits, table).log_softmax(-1) + gumbel


METHOD = Method(relax=HardGumbel())
