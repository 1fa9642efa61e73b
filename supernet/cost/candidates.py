"""The cost of every candidate of a supernet, as a tensor beside the gates.

``COSTS`` says what can be counted. Penalties weigh these costs by gates (SNAS, Xie et al. 2019, section 2.3), and
searches with a budget sum those of a chosen architecture.

Axes: ``e`` edge, ``o`` candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from supernet.choice import ChoiceTable
from supernet.mixed.graph import MixedGraph
from supernet.mixed.source import MixedSource
from supernet.ops import Zero, candidate

Size = tuple[int, int]
"""Rows and columns of an image."""


@dataclass(frozen=True)
class CandidateCost:
    """A row of ``COSTS``.

    Attributes:
        of: the cost of a source's candidate on one edge, where the nodes have this size.
        needs_size: whether the cost depends on the size.
        meaning: what is counted, for people.
    """

    of: Callable[[MixedSource, str, Size], int]
    needs_size: bool
    meaning: str


def parameters(source: MixedSource, name: str, size: Size = (0, 0)) -> int:
    """Return the number of weights of a candidate on one edge."""
    return sum(p.numel() for p in source.ops[name].parameters()) // len(source.edges[name])


def multiply_adds(source: MixedSource, name: str, size: Size) -> int:
    """Return the multiply-adds of a candidate on one edge for one image.

    Every convolution of a candidate works at the size of its output, so they are its weights times that size.
    """
    return parameters(source, name) * math.prod(size)


def memory_accesses(source: MixedSource, name: str, size: Size) -> int:
    """Return the values that a candidate on one edge reads and writes for one image; see ``layer_accesses``."""
    op = candidate(name, source.channels, source.stride)
    return layer_accesses(op, source.channels, source.stride, size)


COSTS: dict[str, CandidateCost] = {
    "parameters": CandidateCost(parameters, needs_size=False, meaning="weights"),
    "multiply_adds": CandidateCost(multiply_adds, needs_size=True, meaning="multiply-adds for one image"),
    "memory": CandidateCost(
        memory_accesses, needs_size=True, meaning="values that the layers read and write for one image"
    ),
}
"""The kinds of cost by name."""


def candidate_costs(
    supernet: nn.Module, tables: Iterable[ChoiceTable], kind: str, forward: Callable[[], object]
) -> dict[str, Tensor]:
    """Return what each candidate of each edge costs over all cells that share its table.

    Args:
        supernet: whose mixed graphs are counted.
        tables: of its decisions.
        kind: a row of ``COSTS``.
        forward: calls the supernet once, on inputs of the real size; the sizes of its graphs are taken from that call.

    Returns:
        Table label -> costs, ``(e, o)``; 0 where an edge has no such candidate.
    """
    cost = COSTS[kind]
    costs = {table.label: torch.zeros(table.rows, len(table.candidates)) for table in tables}
    sizes = _node_sizes(supernet, forward) if cost.needs_size else {}
    for graph in _graphs(supernet):
        size = sizes.get(graph, (0, 0))
        for source in graph.sources:
            for name in source.ops:
                each = cost.of(source, name, size)
                for edge in source.edges[name]:
                    costs[graph.label][source.rows[edge], source.columns[name]] += each
    return costs


def layer_accesses(op: nn.Module, channels: int, stride: int, size: Size) -> int:
    """Return how many values the layers of a candidate read and write for one image, with their weights.

    Each layer's input and output count once (Ma et al. 2018, ShuffleNet V2); the absence of an edge counts nothing.

    Args:
        op: the candidate; it is moved to the meta device.
        channels: of its input.
        stride: of the candidate.
        size: rows and columns of its output.
    """
    counted = 0

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal counted
        counted += inputs[0].numel() + output.numel() + sum(p.numel() for p in layer.parameters())

    for layer in op.modules():
        if not any(layer.children()) and not isinstance(layer, Zero):
            layer.register_forward_hook(count)
    rows, columns = size
    with torch.no_grad():
        op.to("meta")(torch.empty(1, channels, stride * rows, stride * columns, device="meta"))
    return counted


def _graphs(supernet: nn.Module) -> list[MixedGraph]:
    return [module for module in supernet.modules() if isinstance(module, MixedGraph)]


def _node_sizes(supernet: nn.Module, forward: Callable[[], object]) -> dict[MixedGraph, Size]:
    """The size of each graph's nodes in a forward pass."""
    found: dict[MixedGraph, Size] = {}

    def note(graph: Any, _: Any, states: list[Tensor]) -> None:
        rows, columns = states[-1].shape[2:]
        found[graph] = rows, columns

    handles = [graph.register_forward_hook(note) for graph in _graphs(supernet)]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return found
