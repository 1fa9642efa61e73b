"""DrNAS: Dirichlet neural architecture search (Chen et al. 2021).

The gates of an edge are a sample of a Dirichlet distribution with concentration ``elu(a) + 1``, one for each forward
pass; gradients pass through the sample (equation 3). Progressive learning (section 3.3) searches at the size that is
evaluated: first candidates see 1/6 of the channels; then each edge keeps four of seven candidates, which see 1/4, their
weights widened as in Net2Net, and the momentum with them. Where a copied channel is read, weights are divided by the
number of copies, so that a candidate's function is kept; the authors' code does not divide them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from darts.bilevel.discretization import NEVER_KEPT
from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import DirichletGates, concentration
from darts.bilevel.requirements import Component, Requirements
from darts.methods.method import Method, Stage
from supernet.choice import Gates


@dataclass(frozen=True)
class TowardsUniform(Component):
    """The divergence of each edge's distribution from the symmetric one, ``Dirichlet(1)``, summed over edges.

    This is the paper's distance to an anchor (equation 4); by default its code has the logits' weight decay instead,
    and with this none (``logits.weight_decay`` 0).

    Attributes:
        weight: of the penalty.
    """

    weight: float = 1e-3

    def requirements(self) -> Requirements:
        reason = "the penalty towards_uniform is a divergence of Dirichlet distributions"
        return Requirements(requires={"dirichlet": reason})

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        total: Tensor | float = 0.0
        for table in problem.tables:
            for row, c in enumerate(concentration(logits[table.label])):
                allowed = c[table.mask_on(c.device)[row]]
                total = total + kl_divergence(Dirichlet(allowed), Dirichlet(torch.ones_like(allowed)))
        assert isinstance(total, Tensor)
        return self.weight * total


METHOD = Method(relax=DirichletGates(), without=(NEVER_KEPT,))
PROGRESSIVE = Method(
    relax=DirichletGates(),
    without=(NEVER_KEPT,),
    stages=(Stage(share=0.5, warmup=0.4, partial=6), Stage(share=0.5, warmup=0.4, partial=4, keep=4)),
)
