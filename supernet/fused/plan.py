"""Where everything of a mixed graph stands, as tables of numbers that the kernels read.

A plan depends on what a graph is made of, not on its tensors: a *description* says that in a string, which a registered
operator can take. Planes are numbered: first the *final* ones, in the order of edges and candidates; then the *halves*
of separable convolutions; then the two pools of each state. Gradients: first the nodes, then the halves.

Axes: ``e`` edge that leaves a state, ``o`` candidate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from supernet.ops import BatchNorm, DilConv, FactorizedReduce, NorConv, SepConv, Zero

if TYPE_CHECKING:
    from supernet.mixed.graph import MixedGraph, MixedSource

MAXIMUM, AVERAGE = "maximum", "average"
POOLS = (MAXIMUM, AVERAGE)
SEPARABLE, DILATED, STATE, FACTORIZED, DENSE = "separable", "dilated", "state", "factorized", "dense"
PRODUCTS = (SEPARABLE, DILATED, FACTORIZED, DENSE)
"""Kinds that deliver a plane of their own."""


@dataclass(frozen=True)
class Op:
    """A candidate of all edges that leave one state.

    Attributes:
        kind: how the kernels compute it.
        column: of the gates.
        edges: the local edges that have it, in the order of its stacked tensors.
        side, dilation: of its kernel.
        normed: whether a BatchNorm stands behind it.
        params, buffers: where its tensors stand in the flat lists of the graph's.
    """

    kind: str
    column: int
    edges: tuple[int, ...]
    side: int = 0
    dilation: int = 1
    normed: bool = True
    params: tuple[int, int] = (0, 0)
    buffers: tuple[int, int] = (0, 0)


@dataclass
class Convs:
    """The rows of one launch of the convolution kernels, sorted by operation and slot, and these operations."""

    ops: tuple[Op, ...] = ()
    rows: list[tuple[int, ...]] = field(default_factory=list)


@dataclass
class Source:
    """What leaves one state.

    Attributes:
        rows: of its edges in the gates.
        first, second: both halves of its separable convolutions, dilated ones with the first.
        pools: its pooling operations; ``pool_plane`` is the maximum's plane, the average's follows.
        pool_rows: its edges' pools, for statistics; ``pool_terms``, ``state_terms``: its terms of these kinds.
        maxima: how many of the pool terms are maxima.
        library: operations that the library's kernels compute, with the planes, nodes and gates of their edges.
    """

    state: int
    stride: int
    rows: tuple[int, ...]
    first: Convs = field(default_factory=Convs)
    second: Convs = field(default_factory=Convs)
    pools: list[Op] = field(default_factory=list)
    pool_plane: int = -1
    pool_rows: list[tuple[int, ...]] = field(default_factory=list)
    pool_terms: list[tuple[int, ...]] = field(default_factory=list)
    state_terms: list[tuple[int, ...]] = field(default_factory=list)
    maxima: int = 0
    library: list[tuple[Op, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)


@dataclass
class Plan:
    """All tables of a graph.

    Attributes:
        inputs, nodes: states that are given, states that are computed.
        stride: of the edges that leave the given ones.
        partial: which part of the channels the candidates see: the first of so many.
        sources: of each state that has edges.
        terms: of all nodes, see ``supernet.fused.combine.TERM_COLUMNS``; ``node_terms`` are each node's.
        finals, halves, planes, places: how many final planes, halves, planes in all; places of statistics and of the
            backward's coefficients: those of the planes, then one for each edge's pool.
    """

    inputs: int
    nodes: int
    stride: int
    partial: int
    sources: list[Source]
    terms: list[tuple[int, ...]] = field(default_factory=list)
    node_terms: list[range] = field(default_factory=list)
    finals: int = 0
    halves: int = 0
    planes: int = 0
    places: int = 0


def modules_of(source: MixedSource, auxiliary: bool) -> list[tuple[int, tuple[int, ...], nn.Module]]:
    """Column, edges and stacked module of everything on the edges of a source; auxiliary skips have the last column."""
    found = [(source.columns[name], source.edges[name], op) for name, op in source.ops.items()]
    if auxiliary:
        skips = nn.Identity() if source.stride == 1 else source.skips
        found.append((len(source.columns), tuple(range(len(source.rows))), skips))
    return found


def describe(graph: MixedGraph, auxiliary: bool = False) -> str | None:
    """What a plan is made from, as a string; ``None`` where the graph has a candidate that no kernel knows.

    ``auxiliary``: with auxiliary skips, gated by one more column.
    """
    sources = []
    for source in graph.sources:
        found = modules_of(source, auxiliary)
        if any(_kind(op) is None for *_, op in found):
            return None
        ops = [(column, edges, *_kind(op), *_counts(op)) for column, edges, op in found]
        sources.append([source.stride, source.rows, source.targets, ops])
    columns = len(graph.candidates) + auxiliary
    return _json([graph.inputs, graph.nodes, columns, graph.partial, sources])


def _json(value: Any) -> str:
    """JSON of nested lists of numbers, truths and plain words, by means that ``torch.compile`` follows."""
    match value:
        case list() | tuple():
            return "[" + ",".join([_json(item) for item in value]) + "]"
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value + '"'
    return str(value)


def _kind(op: nn.Module) -> tuple[str, int, int, bool] | None:
    """Kind, side, dilation of a candidate, and whether a BatchNorm stands behind it; ``None`` for a strange one."""
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
            depthwise = op.op[1]
            return (
                SEPARABLE if isinstance(op, SepConv) else DILATED,
                depthwise.kernel_size[0],
                depthwise.dilation[0],
                True,
            )
        case FactorizedReduce():
            return FACTORIZED, 1, 1, True
        case NorConv():
            return DENSE, op.op[1].kernel_size[0], 1, True
    return None


def _counts(op: nn.Module) -> tuple[int, int]:
    return len(list(op.parameters())), len(list(op.buffers()))


@lru_cache(maxsize=256)
def plan_of(description: str) -> Plan:
    """The plan of a description."""
    inputs, nodes, columns, partial, described = json.loads(description)
    sources, ops, targets = [], [], []
    params = buffers = 0
    for state, (stride, rows, leads, listed) in enumerate(described):
        sources.append(Source(state, stride, tuple(rows)))
        targets.append(leads)
        ops.append([])
        for column, edges, kind, side, dilation, normed, count, held in listed:
            op = Op(
                kind, column, tuple(edges), side, dilation, normed, (params, params + count), (buffers, buffers + held)
            )
            params, buffers = params + count, buffers + held
            if kind != "zero":
                ops[-1].append(op)
    plan = Plan(inputs, nodes, sources[0].stride, partial, sources)
    edges = [(state, edge) for state, source in enumerate(sources) for edge in range(len(source.rows))]
    edges.sort(key=lambda at: sources[at[0]].rows[at[1]])
    final, half = _numbered(edges, ops)
    plan.finals, plan.halves = len(final), len(half)
    for source in sources:
        source.pools = [op for op in ops[source.state] if op.kind in POOLS]
        source.pool_plane = plan.finals + plan.halves + 2 * source.state
    plan.planes = plan.places = plan.finals + plan.halves + 2 * len(sources)

    def gate(state: int, edge: int, op: Op) -> int:
        return sources[state].rows[edge] * columns + op.column

    for node in range(nodes):
        begin = len(plan.terms)
        for state, edge in edges:
            if targets[state][edge] != node:
                continue
            for op in _of(ops[state], edge):
                at = gate(state, edge, op)
                if op.kind in POOLS:
                    term = (2 - 2 * op.normed, plan.places, 0, _pool_plane(sources[state], op), at, node)
                    sources[state].pool_terms.append(term)
                    plan.places += 1
                elif op.kind == STATE:
                    term = (1, -1, state - inputs if state >= inputs else -1 - state, -1, at, node)
                    sources[state].state_terms.append(term)
                else:
                    plane = final[state, edge, op.column]
                    term = (0, plane, 0, plane, at, node)
                plan.terms.append(term)
        plan.node_terms.append(range(begin, len(plan.terms)))

    for source, own, leads in zip(sources, ops, targets):
        state = source.state
        separable = tuple(op for op in own if op.kind == SEPARABLE)
        source.first, source.second = (
            Convs(tuple(op for op in own if op.kind in (SEPARABLE, DILATED))),
            Convs(separable),
        )
        for op in own:
            places = [(slot, edge, gate(state, edge, op), leads[edge]) for slot, edge in enumerate(op.edges)]
            if op.kind in POOLS:
                number, found = source.pools.index(op), {term[4]: term[1] for term in source.pool_terms}
                source.pool_rows += [(number, slot, -1, found[at], at, node) for slot, _, at, node in places]
            elif op.kind in (SEPARABLE, DILATED):
                kind = source.first.ops.index(op)
                for slot, edge, at, node in places:
                    plane = final[state, edge, op.column]
                    if op.kind == DILATED:
                        source.first.rows.append((kind, slot, -1, plane, at, node))
                        continue
                    number = half[state, edge, op.column]
                    source.first.rows.append((kind, slot, -1, plan.finals + number, at, nodes + number))
                    row = (separable.index(op), slot, plan.finals + number, plane, at, node)
                    source.second.rows.append(row)
            elif op.kind in (FACTORIZED, DENSE):
                planes = tuple(final[state, edge, op.column] for edge in op.edges)
                source.library.append((op, planes, tuple(n for *_, n in places), tuple(at for _, _, at, _ in places)))
        source.pool_terms.sort(key=lambda term: term[3])
        source.maxima = sum(term[3] == source.pool_plane for term in source.pool_terms)
    return plan


def _numbered(
    edges: Sequence[tuple[int, int]], ops: Sequence[Sequence[Op]]
) -> tuple[dict[tuple[int, int, int], int], dict[tuple[int, int, int], int]]:
    """(state, local edge, column) -> the number of its final plane; of its half, where there is one."""
    final, half = {}, {}
    for state, edge in edges:
        for op in _of(ops[state], edge):
            if op.kind in PRODUCTS:
                final[state, edge, op.column] = len(final)
            if op.kind == SEPARABLE:
                half[state, edge, op.column] = len(half)
    return final, half


def _of(ops: Iterable[Op], edge: int) -> Iterator[Op]:
    """What stands on an edge."""
    return (op for op in ops if edge in op.edges)


def _pool_plane(source: Source, op: Op) -> int:
    return source.pool_plane + POOLS.index(op.kind)


def flat_tensors(graph: MixedGraph, auxiliary: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters and buffers of a graph, in a plan's order."""
    modules = [op for source in graph.sources for _, _, op in modules_of(source, auxiliary)]
    return [p for op in modules for p in op.parameters()], [b for op in modules for b in op.buffers()]
