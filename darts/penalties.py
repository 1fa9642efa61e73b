"""What sampled or mixed candidates cost, and a penalty on it, for any relaxation.

Penalties that belong to one method stand in its file under ``darts.methods``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from darts.bilevel import SearchProblem
from darts.steps import Params
from supernet.choice import Gates
from supernet.mixed import MixedGraph


@dataclass(frozen=True)
class Resource:
    """The expected cost under the gates, as a share of all candidates' together (SNAS, Xie et al. 2019, section 2.3).

    ``weight``: of the penalty; ``multiply_adds``: whether the cost is multiply-adds, or else parameters; with ``log``,
    an option of the authors' code, its logarithm is taken.
    """

    weight: float = 0.1
    multiply_adds: bool = False
    log: bool = False
    needs_operations: ClassVar[bool] = True

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        costs = candidate_costs(problem, self.multiply_adds)
        expected = sum((gates[label] * cost.to(gates[label])).sum() for label, cost in costs.items())
        share = expected / sum(cost.sum() for cost in costs.values()).item()
        return self.weight * (share.clamp_min(torch.finfo(share.dtype).tiny).log() if self.log else share)


def candidate_costs(problem: SearchProblem, multiply_adds: bool) -> dict[str, Tensor]:
    """What each candidate of each edge costs over all cells that share its table, ``(e, o)``.

    Every convolution of a candidate works at the size of its output, so its multiply-adds for one image are its weights
    times that size. Counted once for a problem.
    """
    kind = "multiply_adds" if multiply_adds else "parameters"
    if kind not in problem.costs:
        costs = {table.label: torch.zeros(table.rows, len(table.candidates)) for table in problem.tables}
        sizes = _sizes(problem) if multiply_adds else {}
        for holder in problem.supernet.modules():
            if isinstance(getattr(holder, "graph", None), MixedGraph):
                _add(costs[holder.label], holder.graph, sizes.get(holder.graph, 1))
        problem.costs[kind] = costs
    return problem.costs[kind]


def _add(cost: Tensor, graph: MixedGraph, size: int) -> None:
    for source in graph.sources:
        for name, op in source.ops.items():
            edges = source.edges[name]
            weights = sum(p.numel() for p in op.parameters()) // len(edges)
            for edge in edges:
                cost[source.rows[edge], source.columns[name]] += weights * size


def _sizes(problem: SearchProblem) -> dict[MixedGraph, int]:
    """Pixels of each graph's nodes."""
    found: dict[MixedGraph, int] = {}

    def note(graph: MixedGraph, _: tuple, states: list[Tensor]) -> None:
        found[graph] = states[-1].shape[2] * states[-1].shape[3]

    graphs = [module for module in problem.supernet.modules() if isinstance(module, MixedGraph)]
    handles = [graph.register_forward_hook(note) for graph in graphs]
    with torch.no_grad():
        problem.predict(problem.weights, problem.strengths(), problem.example)
    for handle in handles:
        handle.remove()
    return found
