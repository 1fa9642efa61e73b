"""beta-DARTS (Ye et al. 2022): regularize the gates, not the logits.

Weight decay on logits hardly changes their softmax. The loss of the logits gains ``weight * mean over edges of
logsumexp(a)`` (equations 10 and 15), whose gradient is the softmax itself: it pulls all logits of an edge down in
proportion to their gates. The weight grows linearly from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import masked
from darts.methods.method import Method
from supernet.choice import Gates


@dataclass(frozen=True)
class BetaDecay:
    """Mean of ``logsumexp`` over the edges of all tables.

    Attributes:
        last: its weight at the end of the search, to which it grows from 0.
    """

    last: float = 50.0

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        rows = torch.cat([masked(logits[t.label], t).logsumexp(1) for t in problem.tables])
        return self.last * problem.progress * rows.mean()


METHOD = Method(penalties=(BetaDecay(),))
