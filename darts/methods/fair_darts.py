"""Fair DARTS (Chu et al. 2020): candidates do not compete.

Gates are independent sigmoids (equation 5), so a skip connection cannot win by pushing others out. A penalty drives
them to 0 or 1 (equation 6: ``- mean (sigmoid(a) - 1/2)^2``, weight 10). At most two edges into a node are derived, and
only those above a threshold; a node may be left without input.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from darts.bilevel.discretization import NEVER_KEPT, top_edges
from darts.bilevel.hypergradients import Params
from darts.bilevel.initial import zeros
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import Relaxation
from darts.bilevel.requirements import Component, Requirements
from darts.methods.method import Method
from supernet.choice import ChoiceTable, Gates


@dataclass(frozen=True)
class Sigmoid(Relaxation):
    """Each candidate's own gate, in (0, 1)."""

    def requirements(self) -> Requirements:
        return Requirements(provides=frozenset({"independent"}))

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        return self.expected_gates(logits, table)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        gates = logits.sigmoid()
        return gates if table.allowed is None else gates * table.mask_on(gates.device)


@dataclass(frozen=True)
class ZeroOne(Component):
    """``- weight * mean (gate - 1/2)^2`` over all gates.

    Attributes:
        weight: of the penalty.
        absolute: whether it is ``- weight * mean |gate - 1/2|`` instead.
    """

    weight: float = 10.0
    absolute: bool = False

    def requirements(self) -> Requirements:
        reason = "the penalty zero_one drives independent gates to 0 or 1; gates that sum to 1 cannot all go there"
        return Requirements(requires={"independent": reason})

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        far = torch.cat([gates[table.label].flatten() for table in problem.tables]) - 0.5
        return -self.weight * (far.abs() if self.absolute else far.square()).mean()


@dataclass(frozen=True)
class Threshold:
    """The two best edges into each node; where edges may be missing, only those above a threshold.

    A cell must deliver something: where no kept edge is reached from the cell's inputs, the best edge into the first
    node is kept as well. Where every decision is needed, as in a model with choices, there is no threshold.

    Attributes:
        least: the smallest score of a kept edge.
        every_edge: whether all edges are judged and up to two candidates of each kept, the other form of the authors'
            code.
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


METHOD = Method(
    relax=Sigmoid(),
    penalties=(ZeroOne(),),
    discretize=Threshold(),
    initial=zeros,
    without=(NEVER_KEPT,),
)
