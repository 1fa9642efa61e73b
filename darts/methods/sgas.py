"""SGAS: sequential greedy architecture search (Li et al. 2020).

Edges are settled one by one while the search runs: the edge of the best score gets its strongest candidate, alone, and
its logits learn no more. When a node has two inputs its other edges are closed. An edge's score (section 3.3) is its
importance, the share of candidates that are not ``none``, times its certainty, one minus the normalized entropy of
these; criterion 2 also asks for stability, how little the candidates' shares changed. The search's network ends as the
derived one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from darts.bilevel.discretization import top_edges
from darts.bilevel.problem import UNDECIDED
from darts.config.ranges import require
from darts.methods.method import Method
from supernet.choice import ChoiceTable

if TYPE_CHECKING:
    from darts.oneshot.task import SearchTask


@dataclass(frozen=True)
class Greedy:
    """Settles edges from the share ``first`` of the search on until the share ``last``, at equal distances.

    ``criterion`` is 1 or 2; ``window``: how many earlier readings stability looks at; ``growth``: how many images a
    batch gains after each epoch of decisions, since a settled edge takes less memory. The authors' code has 8.
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

    def __call__(self, strength: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        return top_edges(strength, table)

    def decide(self, search: SearchTask, epoch: int) -> None:
        problem, strengths = search.problem, search.problem.expected_gates()
        memory = search.memory.setdefault("greedy", {})
        before = sum(len(state["rows"]) for state in memory.values())
        for table in problem.tables:
            strength = problem.relax.expected_gates(problem.logits[table.label].detach(), table).cpu()
            state = memory.setdefault(table.label, {"rows": [], "readings": []})
            columns = _real(table)
            shares = strength[:, columns] / strength[:, columns].sum(1, keepdim=True)
            places = sum(table.kept(size) for size in table.groups)
            while len(state["rows"]) < due(places, self.first, self.last, epoch, search.epochs):
                row = self._best(table, strength, shares, state)
                state["rows"].append(row)
                choice = columns[shares[row].argmax().item()]
                decided = problem.decided.get(table.label)
                if decided is None:
                    decided = torch.full_like(strengths[table.label], UNDECIDED)
                problem.decided[table.label] = settled(decided, table, row, choice, state["rows"])
            state["readings"] = [*state["readings"], shares][-self.window :]
        if sum(len(state["rows"]) for state in memory.values()) > before:
            search.batch_size += self.growth

    def _best(self, table: ChoiceTable, strength: Tensor, shares: Tensor, state: dict[str, Any]) -> int:
        open_rows = [row for span in table.spans for row in span if _is_open(table, span, row, state["rows"])]
        importance = strength[:, _real(table)].sum(1)[open_rows]
        score = _normalized(importance) * _normalized(certainty(shares[open_rows]))
        if self.criterion == 2 and state["readings"]:
            score = score * _normalized(stability(shares, state["readings"])[open_rows])
        return open_rows[score.argmax().item()]


def certainty(shares: Tensor) -> Tensor:
    """One minus the entropy of each row, as a share of the largest possible one, ``(e, o) -> (e,)``."""
    largest = torch.tensor(float(max(shares.shape[1], 2))).log()
    return 1 - torch.special.entr(shares).sum(1) / largest


def stability(shares: Tensor, readings: Sequence[Tensor]) -> Tensor:
    """The mean intersection of each row with its earlier readings, ``(e, o) -> (e,)``."""
    return torch.stack([torch.minimum(shares, earlier).sum(1) for earlier in readings]).mean(0)


def due(count: int, first: float, last: float, epoch: int, epochs: int) -> int:
    """How many of ``count`` decisions have been made by an epoch's end: they are spread from ``first`` to ``last``."""
    if epoch + 1 == epochs:
        return count
    at = [first + (last - first) * index / max(count - 1, 1) for index in range(count)]
    return sum(round(epochs * share) <= epoch for share in at)


def settled(decided: Tensor, table: ChoiceTable, row: int, choice: int, rows: Sequence[int]) -> Tensor:
    """The decided gates with one more edge one-hot; a node that has all that are derived gets no other."""
    decided = decided.clone()
    decided[row] = 0.0
    decided[row, choice] = 1.0
    (span,) = (span for span in table.spans if row in span)
    if sum(other in span for other in rows) >= table.kept(len(span)):
        for other in set(span) - set(rows):
            decided[other] = 0.0
    return decided


def _is_open(table: ChoiceTable, span: range, row: int, rows: Sequence[int]) -> bool:
    return row not in rows and sum(other in span for other in rows) < table.kept(len(span))


def _real(table: ChoiceTable) -> list[int]:
    return [column for column, name in enumerate(table.candidates) if name not in table.dropped]


def _normalized(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.ones_like(values)


CRITERION_1 = Method(discretize=Greedy(1))
CRITERION_2 = Method(discretize=Greedy(2))
