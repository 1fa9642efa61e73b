"""SGAS: sequential greedy architecture search (Li et al. 2020).

Edges are fixed one by one while the search runs: the edge of the best score gets its best candidate alone, and its
logits learn no more. When a node has two inputs its other edges are removed. An edge's score (section 3.3) is its
importance, the share of candidates that are not ``none``, times its certainty, one minus the normalized entropy of
these; criterion 2 also multiplies by stability, how little the candidates' shares changed. The supernet ends as the
derived network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darts.bilevel.discretization import decisions_due, top_edges
from darts.bilevel.modifiers import UNDECIDED
from darts.bilevel.requirements import NEW_NETWORK, Requirements
from darts.config.ranges import require
from darts.methods.context import Callback, MethodContext
from darts.methods.method import Method
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class Greedy(Callback):
    """Fixes edges at equal distances, and ranks what is left by DARTS's rule.

    Attributes:
        criterion: 1, or 2 with stability.
        first, last: shares of the search at which the first and the last edge are fixed.
        window: earlier readings that stability compares with.
        growth: examples that a batch gains after each epoch of decisions, since a fixed edge takes less memory; 8 in
            the authors' code.
    """

    criterion: int = 1
    first: float = 0.18
    last: float = 0.88
    window: int = 4
    growth: int = 0

    def __post_init__(self) -> None:
        require(self, share=("first", "last"), from_1=("window",), from_0=("growth",))
        if self.criterion not in (1, 2):
            raise ValueError(f"criterion is {self.criterion}; it must be 1 or 2")

    def requirements(self) -> Requirements:
        return Requirements(excludes={NEW_NETWORK: "edges fixed while searching are lost when a stage begins anew"})

    def __call__(self, scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        return top_edges(scores, table)

    def decide(self, context: MethodContext, epoch: int) -> None:
        problem, state = context.problem, context.state("greedy")
        before = sum(len(found["rows"]) for found in state.values())
        for table in problem.tables:
            gates = problem.relax.expected_gates(problem.logits[table.label].detach(), table)
            expected = gates.cpu()
            found = state.setdefault(table.label, {"rows": [], "readings": [], "frozen": {}})
            for row, frozen in found["frozen"].items():
                expected[row] = frozen
            columns = _kept_columns(table)
            shares = expected[:, columns] / expected[:, columns].sum(1, keepdim=True)
            count = sum(table.kept(size) for size in table.groups)
            while len(found["rows"]) < decisions_due(count, self.first, self.last, epoch, context.epochs):
                row = self._best(table, expected, shares, found)
                found["rows"].append(row)
                choice = columns[int(shares[row].argmax())]
                fixed = problem.modifiers.fixed_of(table, gates)
                fix_edge(fixed, table, row, choice, found["rows"])
                closed = (fixed != UNDECIDED).all(1).nonzero().flatten().tolist()
                found["frozen"] |= {other: expected[other].clone() for other in closed if other not in found["frozen"]}
            found["readings"] = [*found["readings"], shares][-self.window :]
        if sum(len(found["rows"]) for found in state.values()) > before:
            context.batch_size += self.growth

    def _best(self, table: ChoiceTable, expected: Tensor, shares: Tensor, state: dict[str, Any]) -> int:
        """Return the row of the best score among those that are not fixed."""
        open_rows = [row for span in table.spans for row in span if _is_undecided(table, span, row, state["rows"])]
        score = _normalized(expected[:, _kept_columns(table)].sum(1)) * _normalized(certainty(shares))
        if self.criterion == 2 and state["readings"]:
            score = score * _normalized(stability(shares, state["readings"]))
        return open_rows[int(score[open_rows].argmax())]


def certainty(shares: Tensor) -> Tensor:
    """Return one minus the entropy of each row over the largest possible one, ``(e, o) -> (e,)``."""
    largest = torch.tensor(float(max(shares.shape[1], 2))).log()
    return 1 - torch.special.entr(shares).sum(1) / largest


def stability(shares: Tensor, readings: Sequence[Tensor]) -> Tensor:
    """Return the mean intersection of each row with its earlier readings, ``(e, o) -> (e,)``."""
    return torch.stack([torch.minimum(shares, earlier).sum(1) for earlier in readings]).mean(0)


def fix_edge(fixed: Tensor, table: ChoiceTable, row: int, choice: int, rows: Sequence[int]) -> None:
    """Make one more edge's gates one-hot, in place; a node that has all inputs that are derived loses its other edges.

    Args:
        fixed: the table's fixed gates, ``(e, o)`` (``GateModifiers.fixed``).
        table: the decisions that they belong to.
        row: the edge.
        choice: the column of its candidate.
        rows: all edges that are fixed to a candidate, this one among them.
    """
    fixed[row] = 0.0
    fixed[row, choice] = 1.0
    (span,) = (span for span in table.spans if row in span)
    if sum(other in span for other in rows) >= table.kept(len(span)):
        for other in set(span) - set(rows):
            fixed[other] = 0.0


def _is_undecided(table: ChoiceTable, span: range, row: int, rows: Sequence[int]) -> bool:
    return row not in rows and sum(other in span for other in rows) < table.kept(len(span))


def _kept_columns(table: ChoiceTable) -> list[int]:
    return [column for column, name in enumerate(table.candidates) if name not in table.dropped]


def _normalized(values: Tensor) -> Tensor:
    """Return values scaled to [0, 1]; 1 for all where they differ by rounding alone, as where nothing is dropped."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low + 1e-6 * high.abs() else torch.ones_like(values)


CRITERION_1 = Method(discretize=Greedy(1))
CRITERION_2 = Method(discretize=Greedy(2))
