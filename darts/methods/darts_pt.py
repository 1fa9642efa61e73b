"""DARTS-PT: perturbation-based architecture selection (Wang et al. 2021).

A gate's size says little about what its candidate is worth; what the supernet loses without it says more (section 4).
After an ordinary search, edges are settled one by one in random order: the candidate stays whose removal lowers the
accuracy on the validation half most. Then each node keeps the two edges whose removal would cost most. The weights go
on training between decisions, at a tenth of the learning rate. Gates of the others are not normalized again, and
BatchNorm takes the batch's statistics. Without training of the logits at all, the rule works as well (section 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from darts.bilevel.discretization import NEVER_KEPT, top_edges
from darts.bilevel.problem import UNDECIDED
from darts.config.ranges import require
from darts.methods.fair_darts import zeros
from darts.methods.method import Method, Stage
from darts.methods.sgas import due
from darts.training.objective import examples
from supernet.choice import ChoiceTable, Gates

if TYPE_CHECKING:
    from darts.oneshot.task import SearchTask


@dataclass(frozen=True)
class Perturbation:
    """Decisions at equal distances, from the share ``first`` of the search until the share ``last``.

    The paper's 50 epochs of search are followed by 81 of decisions, one in 5 epochs: 50 / 131 to 130 / 131.
    """

    first: float = 50 / 131
    last: float = 130 / 131

    def __post_init__(self) -> None:
        require(self, share=("first", "last"))

    def __call__(self, strength: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        return top_edges(strength, table)

    def decide(self, search: SearchTask, epoch: int) -> None:
        memory = search.memory.setdefault("perturbation", {})
        for table in search.problem.tables:
            state = memory.setdefault(table.label, {"edges": [], "nodes": []})
            nodes = [node for node, size in enumerate(table.groups) if size > table.kept(size)]
            wanted = due(table.rows + len(nodes), self.first, self.last, epoch + 1, search.epochs)
            while len(state["edges"]) < min(wanted, table.rows):
                row = _drawn(search, [row for row in range(table.rows) if row not in state["edges"]])
                self._settle_edge(search, table, row)
                state["edges"].append(row)
            while len(state["nodes"]) < wanted - table.rows:
                node = _drawn(search, [node for node in nodes if node not in state["nodes"]])
                self._settle_node(search, table, table.spans[node])
                state["nodes"].append(node)

    def _settle_edge(self, search: SearchTask, table: ChoiceTable, row: int) -> None:
        names = table.candidates
        columns = [c for c, name in enumerate(names) if name not in table.dropped and table.permits(row, name)]
        without = {column: accuracy_without(search, table, (row, column)) for column in columns}
        decided = _decided(search, table)
        decided[row] = 0.0
        decided[row, sorted(without, key=without.get)[: table.picks]] = 1.0

    def _settle_node(self, search: SearchTask, table: ChoiceTable, span: range) -> None:
        left = list(span)
        while len(left) > table.kept(len(span)):
            without = {row: accuracy_without(search, table, (row, slice(None))) for row in left}
            worst = max(without, key=without.get)
            _decided(search, table)[worst] = 0.0
            left.remove(worst)


def accuracy_without(search: SearchTask, table: ChoiceTable, where: tuple) -> float:
    """The supernet's accuracy on the validation half with some gates of a table set to 0."""
    gates: dict[str, Tensor] = dict(search.problem.expected_gates())
    gates[table.label] = gates[table.label].clone()
    gates[table.label][where] = 0.0
    return accuracy_by_batches(search, gates)


def accuracy_by_batches(search: SearchTask, gates: Gates) -> float:
    """Share of the validation half that is classified rightly, with BatchNorm by each batch's own statistics.

    Where a user's own loss is minimized, its mean with the opposite sign.
    """
    problem, size = search.problem, 2 * search.config.batch_size
    weights = {name: w.detach() for name, w in problem.weights.items()}
    right = torch.zeros((), dtype=torch.int64)
    with torch.no_grad():
        for batch in search.data.train.batches(search.valid_indices, size, training=False):
            if examples(batch):
                loss, sums, _ = problem.objective(problem.functional(weights, gates), batch)
                right = right.to(loss.device) + sums.get("accuracy", -loss * sums["images"])
    return search.ranks.total(right.cpu()).item() / len(search.valid_indices)


def _decided(search: SearchTask, table: ChoiceTable) -> Tensor:
    """The table's decided gates, to be written to."""
    decided = search.problem.decided
    if table.label not in decided:
        decided[table.label] = torch.full_like(search.problem.expected_gates()[table.label], UNDECIDED)
    return decided[table.label]


def _drawn(search: SearchTask, items: list[int]) -> int:
    generator = search.problem.generator
    return items[torch.randint(len(items), (), generator=generator, device=generator.device).item()]


STAGES = (Stage(share=50 / 131), Stage(share=81 / 131, lr=0.1, restart=True))
METHOD = Method(discretize=Perturbation(), stages=STAGES, without=(NEVER_KEPT,))
FIXED = Method(
    discretize=Perturbation(),
    stages=(Stage(share=50 / 131, warmup=1.0), Stage(share=81 / 131, warmup=1.0, lr=0.1, restart=True)),
    without=(NEVER_KEPT,),
    initial=zeros,
)
