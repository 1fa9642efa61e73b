"""What sampled or mixed candidates cost, and a penalty on it, for any relaxation.

Penalties that belong to one method stand in its file under ``darts.methods``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.config.ranges import choose
from supernet.choice import Gates
from supernet.mixed.graph import MixedGraph
from supernet.ops import Zero, candidate

KINDS = ("parameters", "multiply_adds", "memory")
"""What may be counted: weights; products of one image; values that the layers read and write for one image."""

ESTIMATES = ("reparametrization", "expectation", "policy_gradient")
"""How the cost's gradient reaches the logits: through the gates; through the expected gates; by the gates' density."""


@dataclass(frozen=True)
class Resource:
    """The cost of what is sampled, as a share of all candidates' together (SNAS, Xie et al. 2019, section 2.3).

    ``weight``: of the penalty; ``cost``: one of ``KINDS``; ``estimate``: one of ``ESTIMATES``, of which the third needs
    a relaxation with a ``log_density``; with ``log``, an option of the authors' code, the cost's logarithm is taken.
    """

    weight: float = 0.1
    cost: str = "parameters"
    estimate: str = "reparametrization"
    log: bool = False
    needs_operations: ClassVar[bool] = True

    def __post_init__(self) -> None:
        choose(self, cost=KINDS, estimate=ESTIMATES)

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        shares = _shares(problem, self.cost)
        if self.estimate == "expectation":
            gates = {table.label: problem.relax.expected_gates(logits[table.label], table) for table in problem.tables}
        rows = {label: (gates[label] * share.to(gates[label].dtype)).sum(1) for label, share in shares.items()}
        if self.estimate == "policy_gradient":
            return self.weight * self._scored(problem, logits, gates, rows)
        return self.weight * self._told(sum(row.sum() for row in rows.values()))

    def _scored(self, problem: SearchProblem, logits: Params, gates: Gates, rows: Mapping[str, Tensor]) -> Tensor:
        """The cost itself; its gradient is that of the densities, times the cost that the sample had."""
        densities = {
            table.label: problem.relax.log_density(gates[table.label], logits[table.label], table, problem.progress)
            for table in problem.tables
        }
        costs = {label: row.detach() for label, row in rows.items()}
        cost = self._told(sum(row.sum() for row in costs.values()))
        if self.log:
            return cost * _one(sum(density.sum() for density in densities.values()))
        return sum((costs[label] * _one(densities[label])).sum() for label in costs)

    def _told(self, share: Tensor) -> Tensor:
        return share.clamp_min(torch.finfo(share.dtype).tiny).log() if self.log else share


def _one(density: Tensor) -> Tensor:
    """1, with the gradient of a logarithm of a density."""
    return 1 + density - density.detach()


def _shares(problem: SearchProblem, kind: str) -> dict[str, Tensor]:
    """``candidate_costs`` over their sum, on the device. Counted once for a problem."""
    name = f"shares of {kind}"
    if name not in problem.costs:
        costs = candidate_costs(problem, kind)
        total = sum(cost.sum() for cost in costs.values())
        problem.costs[name] = {t.label: (costs[t.label] / total).to(problem.logits[t.label]) for t in problem.tables}
    return problem.costs[name]


def candidate_costs(problem: SearchProblem, kind: str) -> dict[str, Tensor]:
    """What each candidate of each edge costs over all cells that share its table, ``(e, o)``.

    Every convolution of a candidate works at the size of its output, so its multiply-adds for one image are its weights
    times that size. Counted once for a problem.
    """
    if kind not in problem.costs:
        costs = {table.label: torch.zeros(table.rows, len(table.candidates)) for table in problem.tables}
        sizes = {} if kind == "parameters" else _sizes(problem)
        for holder in problem.supernet.modules():
            if isinstance(getattr(holder, "graph", None), MixedGraph):
                _add(costs[holder.label], holder.graph, kind, sizes.get(holder.graph))
        problem.costs[kind] = costs
    return problem.costs[kind]


def _add(cost: Tensor, graph: MixedGraph, kind: str, size: tuple[int, int] | None) -> None:
    for source in graph.sources:
        for name, op in source.ops.items():
            edges = source.edges[name]
            each = sum(p.numel() for p in op.parameters()) // len(edges)
            if kind == "multiply_adds":
                each *= math.prod(size)
            elif kind == "memory":
                each = accesses(candidate(name, source.channels, source.stride), source.channels, source.stride, size)
            for edge in edges:
                cost[source.rows[edge], source.columns[name]] += each


def accesses(op: nn.Module, channels: int, stride: int, size: tuple[int, int]) -> int:
    """Values that the layers of a candidate read and write for one image of ``channels``, with their weights: each
    layer's input and output once (Ma et al. 2018, ShuffleNet V2). No connection moves nothing.

    Args:
        stride: of the candidate.
        size: rows and columns of its output.
    """
    counted = 0

    def note(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal counted
        counted += inputs[0].numel() + output.numel() + sum(p.numel() for p in layer.parameters())

    for layer in op.modules():
        if not any(layer.children()) and not isinstance(layer, Zero):
            layer.register_forward_hook(note)
    with torch.no_grad():
        op.to("meta")(torch.empty(1, channels, *(stride * length for length in size), device="meta"))
    return counted


def _sizes(problem: SearchProblem) -> dict[MixedGraph, tuple[int, int]]:
    """Rows and columns of each graph's nodes."""
    found: dict[MixedGraph, tuple[int, int]] = {}

    def note(graph: MixedGraph, _: tuple, states: list[Tensor]) -> None:
        found[graph] = tuple(states[-1].shape[2:])

    graphs = [module for module in problem.supernet.modules() if isinstance(module, MixedGraph)]
    handles = [graph.register_forward_hook(note) for graph in graphs]
    with torch.no_grad():
        problem.predict(problem.weights, problem.expected_gates(), problem.example)
    for handle in handles:
        handle.remove()
    return found
