"""GDAS: a differentiable architecture sampler (Dong and Yang 2019).

Every forward pass samples one candidate for each edge, by the Gumbel-max trick, and computes that one alone; gradients
pass through the soft sample as if it had been used (equations 3 to 5, the straight-through estimator). The temperature
falls linearly. All cells share one sample.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.relaxations import Relaxation, gumbel_perturbed, linear, masked, straight_through
from darts.bilevel.requirements import OPERATIONS, Requirements
from darts.config.ranges import require
from darts.methods.method import Method
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class HardGumbel(Relaxation):
    """One-hot samples; their gradient is that of the softmax of the perturbed log-probabilities.

    Attributes:
        first, last: temperature at the beginning and at the end.
        bare: whether the gates that are 0 are added to what the edge delivers, as in the authors' code: this changes no
            value, and gives their logits the sum of the edge's gradient.
    """

    first: float = 10.0
    last: float = 0.1
    bare: bool = False

    def __post_init__(self) -> None:
        require(self, above_0=("first", "last"))

    def requirements(self) -> Requirements:
        return Requirements(requires={OPERATIONS: "bare gates need operations between states"} if self.bare else {})

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        temperature = linear(self.first, self.last, progress)
        return straight_through(gumbel_perturbed(logits, table, generator), temperature)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)


METHOD = Method(relax=HardGumbel())
