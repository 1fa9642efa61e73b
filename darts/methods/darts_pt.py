"""DARTS-PT: perturbation-based architecture selection (Wang et al. 2021).

A gate's size says little about what its candidate is worth; what the supernet loses without it says more (section 4).
After an ordinary search, edges are fixed one by one in random order: the candidate is kept whose removal lowers the
validation accuracy most. Then each node keeps the two edges whose removal would cost most. The weights train on between
decisions, at a tenth of the learning rate that the search began with, which in the authors' code does not fall. When a
candidate is removed, the other gates are not normalized again, and BatchNorm takes the batch's statistics. Without any
training of the logits the rule works as well (section 5.2). As in the authors' code, edges of a node are compared in
the presence of all others; of equal accuracies the first candidate is kept, and the last edge removed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from darts.bilevel.discretization import NEVER_KEPT, decisions_due, top_edges
from darts.bilevel.initial import zeros
from darts.bilevel.requirements import NEW_NETWORK, Requirements
from darts.config.ranges import require
from darts.methods.context import Callback, MethodContext, accuracy_by_batches
from darts.methods.method import Method, Stage
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class Perturbation(Callback):
    """Decisions at equal distances.

    The paper's 50 epochs of search are followed by 81 of decisions, one in 5 epochs: 50 / 131 to 130 / 131.

    Attributes:
        first, last: shares of the search at which the first and the last decision are made.
    """

    first: float = 50 / 131
    last: float = 130 / 131

    def __post_init__(self) -> None:
        require(self, share=("first", "last"))

    def requirements(self) -> Requirements:
        return Requirements(excludes={NEW_NETWORK: "edges fixed while searching are lost when a stage begins anew"})

    def __call__(self, scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        return top_edges(scores, table)

    def decide(self, context: MethodContext, epoch: int) -> None:
        state = context.state("perturbation")
        for table in context.problem.tables:
            found = state.setdefault(table.label, {"edges": [], "nodes": []})
            nodes = [node for node, size in enumerate(table.groups) if size > table.kept(size)]
            wanted = decisions_due(table.rows + len(nodes), self.first, self.last, epoch + 1, context.epochs)
            while len(found["edges"]) < min(wanted, table.rows):
                row = _drawn(context, [row for row in range(table.rows) if row not in found["edges"]])
                self._fix_edge(context, table, row)
                found["edges"].append(row)
            while len(found["nodes"]) < wanted - table.rows:
                node = _drawn(context, [node for node in nodes if node not in found["nodes"]])
                self._fix_node(context, table, table.spans[node])
                found["nodes"].append(node)

    def _fix_edge(self, context: MethodContext, table: ChoiceTable, row: int) -> None:
        names = table.candidates
        columns = [c for c, name in enumerate(names) if name not in table.dropped and table.permits(row, name)]
        without = {column: accuracy_without(context, table, (row, column)) for column in columns}
        fixed = _fixed(context, table)
        fixed[row] = 0.0
        fixed[row, sorted(columns, key=lambda column: without[column])[: table.picks]] = 1.0

    def _fix_node(self, context: MethodContext, table: ChoiceTable, span: range) -> None:
        """Remove the edges whose removal, of one alone, costs least; the last of equals."""
        without = {row: accuracy_without(context, table, (row, slice(None))) for row in span}
        for row in sorted(span, key=lambda row: without[row])[table.kept(len(span)) :]:
            _fixed(context, table)[row] = 0.0


def accuracy_without(context: MethodContext, table: ChoiceTable, where: tuple[int, int | slice]) -> float:
    """Return the supernet's validation accuracy with some gates of a table set to 0.

    Args:
        context: of the search.
        table: whose gates change.
        where: row and column, or all columns.
    """
    gates: dict[str, Tensor] = dict(context.problem.expected_gates())
    gates[table.label] = gates[table.label].clone()
    gates[table.label][where] = 0.0
    return accuracy_by_batches(context, gates)


def _fixed(context: MethodContext, table: ChoiceTable) -> Tensor:
    """Return the table's fixed gates, ``(e, o)``, to be written to."""
    problem = context.problem
    return problem.modifiers.fixed_of(table, problem.logits[table.label].detach())


def _drawn(context: MethodContext, items: list[int]) -> int:
    generator = context.problem.generator
    return items[int(torch.randint(len(items), (), generator=generator, device=generator.device))]


DECISIONS = Stage(share=81 / 131, lr=0.1, restart=True, constant=True)
METHOD = Method(discretize=Perturbation(), stages=(Stage(share=50 / 131), DECISIONS), without=(NEVER_KEPT,))
FIXED = Method(
    discretize=Perturbation(),
    stages=(Stage(share=50 / 131, warmup=1.0), replace(DECISIONS, warmup=1.0)),
    without=(NEVER_KEPT,),
    initial=zeros,
)
