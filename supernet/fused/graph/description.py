"""The description of a mixed graph: a string that lists its operations, and its tensors in the same order.

The fused kernels are planned from the description alone (``supernet.fused.graph.plan``), so a registered operator can
take it as an argument, and ``torch.compile`` can trace the code that makes it.

Axes: ``e`` edge that leaves a state, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from supernet.ops import BatchNorm, DilConv, FactorizedReduce, NorConv, SepConv, Zero

MAXIMUM, AVERAGE = "maximum", "average"
POOLS = (MAXIMUM, AVERAGE)
SEPARABLE, DILATED, STATE, FACTORIZED, DENSE = "separable", "dilated", "state", "factorized", "dense"
PRODUCTS = (SEPARABLE, DILATED, FACTORIZED, DENSE)
"""Kinds whose output is a plane of their own."""


class MixedOperations(Protocol):
    """The mixed operations on all edges that leave one state (``MixedSource``)."""

    stride: int
    rows: tuple[int, ...]
    targets: tuple[int, ...]
    edges: Mapping[str, tuple[int, ...]]
    columns: Mapping[str, int]
    skips: nn.Module | None

    @property
    def ops(self) -> Any:
        """Candidate -> its module, stacked over the edges that have it."""


class Graph(Protocol):
    """A graph of mixed operations (``MixedGraph``)."""

    inputs: int
    nodes: int
    outputs: int
    candidates: tuple[str, ...]
    partial: int
    training: bool
    descriptions: dict[object, str | None]

    @property
    def sources(self) -> Iterable[Any]:
        """The mixed operations of each state that has edges, ``MixedOperations``."""


def modules_of(source: MixedOperations, auxiliary: bool) -> list[tuple[int, tuple[int, ...], Any]]:
    """Return column, edges and stacked module of every operation of a source; auxiliary skips have the last column."""
    found = [(source.columns[name], source.edges[name], op) for name, op in source.ops.items()]
    if auxiliary:
        skips = nn.Identity() if source.stride == 1 else source.skips
        found.append((len(source.columns), tuple(range(len(source.rows))), skips))
    return found


def describe(graph: Graph, auxiliary: bool = False) -> str | None:
    """Return the description of a graph; ``None`` where it has a candidate that no kernel computes.

    Args:
        auxiliary: whether auxiliary skips are computed, gated by one more column.
    """
    sources = []
    for source in graph.sources:
        ops = []
        for column, edges, op in modules_of(source, auxiliary):
            kind = _kind(op)
            if kind is None:
                return None
            ops.append((column, edges, *kind, *_counts(op)))
        sources.append([source.stride, source.rows, source.targets, ops])
    columns = len(graph.candidates) + auxiliary
    return _json([graph.inputs, graph.nodes, graph.outputs, columns, graph.partial, sources])


def _json(value: Any) -> str:
    """Return JSON of nested lists of numbers, booleans and plain words, by code that ``torch.compile`` can trace."""
    match value:
        case list() | tuple():
            return "[" + ",".join([_json(item) for item in value]) + "]"
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value + '"'
    return str(value)


def _kind(op: Any) -> tuple[str, int, int, bool] | None:
    """Return kind, side and dilation of a candidate, and whether a BatchNorm follows; ``None`` for an unknown one."""
    pools = {nn.MaxPool2d: MAXIMUM, nn.AvgPool2d: AVERAGE}
    match op:
        case Zero():
            return "zero", 0, 1, False
        case nn.Identity():
            return STATE, 0, 1, False
        case nn.Sequential() if len(op) == 2 and type(op[0]) in pools and isinstance(op[1], BatchNorm):
            return pools[type(op[0])], 3, 1, True
        case nn.MaxPool2d() | nn.AvgPool2d():
            return pools[type(op)], 3, 1, False
        case SepConv() | DilConv():
            depthwise, kind = op.op[1], SEPARABLE if isinstance(op, SepConv) else DILATED
            assert isinstance(depthwise, nn.Conv2d)
            return kind, depthwise.kernel_size[0], depthwise.dilation[0], True
        case FactorizedReduce():
            return FACTORIZED, 1, 1, True
        case NorConv():
            conv = op.op[1]
            assert isinstance(conv, nn.Conv2d)
            return (DENSE, conv.kernel_size[0], 1, True) if conv.stride[0] == 1 else None
    return None


def _counts(op: nn.Module) -> tuple[int, int]:
    params, buffers = _tensors(op)
    return len(params), len(buffers)


def _tensors(op: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return parameters and buffers in the order of ``parameters()``, which takes ten times as long."""
    params: list[Tensor] = [param for param in op._parameters.values() if param is not None]
    buffers = [buffer for buffer in op._buffers.values() if buffer is not None]
    for module in op._modules.values():
        if module is not None:
            more = _tensors(module)
            params += more[0]
            buffers += more[1]
    return params, buffers


def flat_tensors(graph: Graph, auxiliary: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Return parameters and buffers of a graph, in a plan's order."""
    found = [_tensors(op) for source in graph.sources for _, _, op in modules_of(source, auxiliary)]
    return [p for params, _ in found for p in params], [b for _, buffers in found for b in buffers]
