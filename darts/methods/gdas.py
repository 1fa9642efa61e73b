"""GDAS: a differentiable architecture sampler (Dong and Yang 2019).

Every forward pass samples one candidate for each edge, by the Gumbel-max trick, and computes that one alone; gradients
pass through the soft sample as if it had been used (equations 3 to 5, the straight-through estimator). The temperature
falls linearly. All cells share one sample.

The authors' code differs in four ways, each an option that their recipe takes: it adds the gates that are 0
(``gumbel:bare=true``), moves the weights before the logits (``order`` weights_first), reaches the last temperature in
the last epoch (``method.reach_end``), and keeps the two best pairs of an edge and a candidate into each node, so that
one edge can be taken twice (``top_pairs``).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.discretization import top_edges
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


def top_pairs(scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
    """Return the best (edge, candidate) pairs into each node, as the authors' code: one edge can have both.

    Where every edge is derived there is nothing to choose between edges, and this is DARTS's rule.

    Args:
        scores: ``(e, o)``; equal scores count in the order of edges, then of candidates.
        table: the decisions that they belong to.
    """
    if table.keep is None:
        return top_edges(scores, table)
    values, picks = scores.detach().cpu().tolist(), list[tuple[int, str]]()
    for span in table.spans:
        pairs = [
            (row, column)
            for row in span
            for column, name in enumerate(table.candidates)
            if name not in table.dropped and table.permits(row, name)
        ]
        best = sorted(pairs, key=lambda pair: -values[pair[0]][pair[1]])[: table.kept(len(span))]
        picks += [(row, table.candidates[column]) for row, column in best]
    return tuple(picks)


METHOD = Method(relax=HardGumbel())
