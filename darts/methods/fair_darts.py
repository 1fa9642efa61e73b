"""Fair DARTS (Chu et al. 2020): candidates do not compete.

Gates are independent sigmoids (equation 5), so a skip connection cannot win by pushing others out. A penalty drives
them to 0 or 1 (equation 6: ``- mean (sigmoid(a) - 1/2)^2``, weight 10). What is derived keeps at most two edges into a
node, and only those above a threshold; a node may be left without input.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from darts.bilevel.discretization import NEVER_KEPT, top_edges
from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.methods.method import Method
from supernet.choice import ChoiceTable, Gates


@dataclass(frozen=True)
class Sigmoid:
    """Each candidate's own gate, in (0, 1)."""

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        return self.expected_gates(logits, table)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        gates = logits.sigmoid()
        return gates if table.allowed is None else gates * table.mask_on(gates.device)


@dataclass(frozen=True)
class ZeroOne:
    """``- weight * mean (gate - 1/2)^2`` over all gates; with ``absolute``, ``- weight * mean |gate - 1/2|``."""

    weight: float = 10.0
    absolute: bool = False

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        far = torch.cat([gates[table.label].flatten() for table in problem.tables]) - 0.5
        return -self.weight * (far.abs() if self.absolute else far.square()).mean()


@dataclass(frozen=True)
class Threshold:
    """The two strongest edges into each node; where some may be missing, only those of at least ``least`` are kept.

    A cell must deliver something: where no kept edge is reached from the cell's inputs, the strongest edge into the
    first node is kept as well; where every decision is needed, as in a model with choices, the threshold is none. With
    ``every_edge``, the other form of the authors' code, all edges are judged, and up to two candidates of each kept.
    """

    least: float = 0.85
    every_edge: bool = False

    def __call__(self, scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        if table.required:
            return top_edges(scores, table)
        column = {name: index for index, name in enumerate(table.candidates)}
        judged = replace(table, keep=None, picks=min(2, len(column))) if self.every_edge else table
        best = top_edges(scores, judged)
        kept = tuple((row, op) for row, op in best if scores[row, column[op]] >= self.least)
        inputs = table.groups[0]
        if any(row - span.start < inputs for span in table.spans for row, _ in kept if row in span):
            return kept
        return (best[0], *kept)


def zeros(table: ChoiceTable, draw: Tensor) -> Tensor:
    """Every gate begins undecided."""
    return torch.zeros_like(draw)


METHOD = Method(
    relax=Sigmoid(),
    penalties=(ZeroOne(),),
    discretize=Threshold(),
    initial=zeros,
    without=(NEVER_KEPT,),
)
