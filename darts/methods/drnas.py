"""DrNAS: Dirichlet neural architecture search (Chen et al. 2021).

The gates of an edge are a sample of a Dirichlet distribution with concentration ``elu(a) + 1``, one for each forward
pass; gradients pass through the sample (equation 3). Progressive learning (section 3.3) searches at the size that is
evaluated: one in six channels first; then each edge keeps four of seven candidates, and these see one in four, their
weights widened as in Net2Net.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from darts.bilevel.discretization import NEVER_KEPT
from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import masked
from darts.methods.method import Method, Stage
from supernet.choice import ChoiceTable, Gates

LEAST = 1e-3
"""No concentration is smaller: samples would underflow."""


@dataclass(frozen=True)
class DirichletGates:
    """Samples on the simplex. What is derived and evaluated goes by the softmax of the logits, as in the paper's code;
    it orders an edge's candidates as the distribution's mean does."""

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        gamma = torch._standard_gamma(concentration(logits), generator=generator)
        if table.allowed is not None:
            gamma = gamma * table.mask_on(gamma.device)
        return gamma / gamma.sum(1, keepdim=True).clamp_min(torch.finfo(gamma.dtype).tiny)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)


def concentration(logits: Tensor) -> Tensor:
    """``elu(a) + 1``, more than 0."""
    return (F.elu(logits) + 1).clamp_min(LEAST)


@dataclass(frozen=True)
class TowardsUniform:
    """``weight`` times the divergence of each edge's distribution from the symmetric one, ``Dirichlet(1)``, summed.

    The paper's distance to an anchor (equation 4); its code's default in place of it is the weight decay of the logits.
    """

    weight: float = 1e-3

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        total = 0.0
        for table in problem.tables:
            for row, c in enumerate(concentration(logits[table.label])):
                allowed = c[table.mask_on(c.device)[row]]
                total = total + kl_divergence(Dirichlet(allowed), Dirichlet(torch.ones_like(allowed)))
        return self.weight * total


METHOD = Method(relax=DirichletGates(), without=(NEVER_KEPT,))
PROGRESSIVE = Method(
    relax=DirichletGates(),
    without=(NEVER_KEPT,),
    stages=(Stage(share=0.5, warmup=0.4, partial=6), Stage(share=0.5, warmup=0.4, partial=4, keep=4)),
)
