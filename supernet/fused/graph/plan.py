"""The plan of a mixed graph: indices of its planes, gradients and parameters, as launch tables for the kernels.

A plan is made from a graph's description (``supernet.fused.graph.description``). Planes are numbered: first the *final*
ones, in the order of edges and candidates; then the *halves*, outputs of the first halves of separable convolutions;
then the two pools of each state. Gradients: first the nodes, then the halves.

Axes: ``e`` edge that leaves a state, ``o`` candidate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import zip_longest

from supernet.fused import rows as forms
from supernet.fused.graph.description import (
    AVERAGE,
    DENSE,
    DILATED,
    FACTORIZED,
    MAXIMUM,
    POOLS,
    PRODUCTS,
    SEPARABLE,
    STATE,
)
from supernet.fused.rows import NORMALIZED, PLAIN, ConvRow, SharedRow, TermRow


@dataclass(frozen=True)
class Op:
    """A candidate of all edges that leave one state.

    Attributes:
        kind: how the kernels compute it.
        column: its column in the gates.
        edges: the local edges that have it, in the order of its stacked tensors.
        side, dilation: kernel size and dilation.
        normed: whether a BatchNorm follows it.
        params, buffers: range of its tensors in the flat lists of the graph's tensors.
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
    rows: list[ConvRow] = field(default_factory=list)


@dataclass
class LibraryConv:
    """An operation that the library's own kernels compute, with the planes, gradients and gates of its edges."""

    op: Op
    planes: tuple[int, ...]
    behind: tuple[int, ...]
    gates: tuple[int, ...]


@dataclass
class Source:
    """One state and the operations on the edges that leave it.

    Attributes:
        rows: rows of its edges in the gates.
        first, second: both halves of its separable convolutions; dilated convolutions are among the first. Those of
            all inputs may be those of the last. ``reads`` are the states that the first halves read.
        pools: its pooling operations; ``pool_plane`` is the maximum's plane, the average's follows.
        pool_rows: its edges' pools, for statistics; ``pool_terms``, ``state_terms``: its terms of these kinds;
            ``shared``: both by edges.
        library: operations that the library's own kernels compute.
    """

    state: int
    stride: int
    rows: tuple[int, ...]
    reads: tuple[int, ...] = ()
    first: Convs = field(default_factory=Convs)
    second: Convs = field(default_factory=Convs)
    pools: list[Op] = field(default_factory=list)
    pool_plane: int = -1
    pool_rows: list[ConvRow] = field(default_factory=list)
    pool_terms: list[TermRow] = field(default_factory=list)
    state_terms: list[TermRow] = field(default_factory=list)
    shared: list[SharedRow] = field(default_factory=list)
    library: list[LibraryConv] = field(default_factory=list)


@dataclass
class Plan:
    """All tables of a graph.

    Attributes:
        inputs, nodes: number of input states and of computed states; the last ``outputs`` of them are read outside.
        stride: stride of the edges that leave the inputs.
        partial: the candidates see the first ``1 / partial`` of the channels.
        sources: one for each state that has edges. Those of the inputs are computed together, in one *step*; each other
            is a step of its own.
        incoming: of each node, the rows of its edges in the gates.
        terms: the terms of all nodes; ``node_terms`` are the range of each node's.
        idle: of each node, the gates of its edges that belong to no term.
        finals, halves, planes: number of final planes, of halves, and of all planes.
        places: number of rows of statistics and of the backward's coefficients: one for each plane, then one for each
            edge's pool.
    """

    inputs: int
    nodes: int
    outputs: int
    stride: int
    partial: int
    sources: list[Source]
    incoming: list[list[int]]
    terms: list[TermRow] = field(default_factory=list)
    node_terms: list[range] = field(default_factory=list)
    idle: list[list[int]] = field(default_factory=list)
    finals: int = 0
    halves: int = 0
    planes: int = 0
    places: int = 0

    @property
    def steps(self) -> list[list[Source]]:
        """The sources step by step."""
        return [self.sources[: self.inputs], *([source] for source in self.sources[self.inputs :])]


@lru_cache(maxsize=256)
def plan_of(description: str, kinds_at_once: int = 0, states_at_once: int = 1) -> Plan:
    """Return the plan of a description.

    Args:
        kinds_at_once: how many operations one launch computes, for kernels that take those of several states, and for
            which skip connections of stride 2 (factorized reductions) are among the first halves, as 3x3 convolutions
            that are 0 at all but two taps; with 0 the library computes these. Numbers are the same.
        states_at_once: how many states the first halves of one launch read.
    """
    inputs, nodes, outputs, columns, partial, described = json.loads(description)
    sources: list[Source] = []
    ops: list[list[Op]] = []
    targets: list[tuple[int, ...]] = []
    params = buffers = 0
    for state, (stride, rows, leads, listed) in enumerate(described):
        sources.append(Source(state, stride, tuple(rows)))
        targets.append(leads)
        ops.append([])
        for column, edges, kind, side, dilation, normed, count, held in listed:
            op = Op(
                kind, column, tuple(edges), side, dilation, normed, (params, params + count), (buffers, buffers + held)
            )
            if kind == FACTORIZED and kinds_at_once:
                op = replace(op, side=3)
            params, buffers = params + count, buffers + held
            if kind != "zero":
                ops[-1].append(op)
    incoming: list[list[int]] = [[] for _ in range(nodes)]
    for source, leads in zip(sources, targets):
        for edge, node in zip(source.rows, leads):
            incoming[node].append(edge)
    plan = Plan(inputs, nodes, outputs, sources[0].stride, partial, sources, incoming)
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
            shared: dict[str, list[int]] = {MAXIMUM: [], AVERAGE: [], STATE: []}
            number = state - inputs if state >= inputs else -1 - state
            for op in _of(ops[state], edge):
                at = gate(state, edge, op)
                if op.kind in POOLS:
                    form = NORMALIZED if op.normed else PLAIN
                    term = TermRow(form, plan.places, number, _pool_plane(sources[state], op), at, node)
                    sources[state].pool_terms.append(term)
                    shared[op.kind].append(plan.places)
                    plan.places += 1
                elif op.kind == STATE:
                    term = TermRow(forms.STATE, -1, number, -1, at, node)
                    sources[state].state_terms.append(term)
                    shared[STATE].append(at)
                else:
                    plane = final[state, edge, op.column]
                    term = TermRow(NORMALIZED, plane, 0, plane, at, node)
                plan.terms.append(term)
            sources[state].shared += [SharedRow(node, *row) for row in zip_longest(*shared.values(), fillvalue=-1)]
        plan.node_terms.append(range(begin, len(plan.terms)))
        known = {term.gate for term in plan.terms[begin:]}
        every = (row * columns + column for row in incoming[node] for column in range(columns))
        plan.idle.append([at for at in every if at not in known])

    for source, own, leads in zip(sources, ops, targets):
        state = source.state
        separable = tuple(op for op in own if op.kind == SEPARABLE)
        convolved = (SEPARABLE, DILATED, FACTORIZED) if kinds_at_once else (SEPARABLE, DILATED)
        source.first = Convs(tuple(op for op in own if op.kind in convolved))
        source.second = Convs(separable)
        for op in own:
            places = [(slot, edge, gate(state, edge, op), leads[edge]) for slot, edge in enumerate(op.edges)]
            if op.kind in POOLS:
                number, place_of = source.pools.index(op), {term.gate: term.place for term in source.pool_terms}
                source.pool_rows += [ConvRow(number, slot, -1, place_of[at], at, node) for slot, _, at, node in places]
            elif op.kind in convolved:
                kind = source.first.ops.index(op)
                for slot, edge, at, node in places:
                    plane = final[state, edge, op.column]
                    if op.kind != SEPARABLE:
                        source.first.rows.append(ConvRow(kind, slot, -1, plane, at, node))
                        continue
                    number = half[state, edge, op.column]
                    source.first.rows.append(ConvRow(kind, slot, -1, plan.finals + number, at, nodes + number))
                    row = ConvRow(separable.index(op), slot, plan.finals + number, plane, at, node)
                    source.second.rows.append(row)
            elif op.kind in (FACTORIZED, DENSE):
                planes = tuple(final[state, edge, op.column] for edge in op.edges)
                behind, indices = tuple(n for *_, n in places), tuple(at for _, _, at, _ in places)
                source.library.append(LibraryConv(op, planes, behind, indices))
        source.reads = (state,)
    given = sources[:inputs]
    if sum(len(source.second.ops) for source in given) <= kinds_at_once:
        given[-1].second = _joined([source.second for source in given])
        for source in given[:-1]:
            source.second = Convs()
    if inputs <= states_at_once and sum(len(source.first.ops) for source in given) <= kinds_at_once:
        given[-1].first = _joined(
            [
                Convs(source.first.ops, [row._replace(source=-1 - source.state) for row in source.first.rows])
                for source in given
            ]
        )
        given[-1].reads = tuple(range(inputs))
        for source in given[:-1]:
            source.first = Convs()
    return plan


def _joined(parts: Iterable[Convs]) -> Convs:
    """Return the convolutions of several launches as those of one."""
    joined = Convs()
    for convs in parts:
        joined.rows += [row._replace(kind=len(joined.ops) + row.kind) for row in convs.rows]
        joined.ops += convs.ops
    return joined


def edges_of(plan: Plan, source: Source) -> list[tuple[int, int]]:
    """Return (row of the gates, node) of each edge that leaves a state."""
    first = max(0, source.state + 1 - plan.inputs)
    return list(zip(source.rows, range(first, plan.nodes)))


def _numbered(
    edges: Sequence[tuple[int, int]], ops: Sequence[Sequence[Op]]
) -> tuple[dict[tuple[int, int, int], int], dict[tuple[int, int, int], int]]:
    """Return (state, local edge, column) -> the number of its final plane, and of its half where there is one."""
    final: dict[tuple[int, int, int], int] = {}
    half: dict[tuple[int, int, int], int] = {}
    for state, edge in edges:
        for op in _of(ops[state], edge):
            if op.kind in PRODUCTS:
                final[state, edge, op.column] = len(final)
            if op.kind == SEPARABLE:
                half[state, edge, op.column] = len(half)
    return final, half


def _of(ops: Iterable[Op], edge: int) -> Iterator[Op]:
    """Return the operations on an edge."""
    return (op for op in ops if edge in op.edges)


def _pool_plane(source: Source, op: Op) -> int:
    return source.pool_plane + POOLS.index(op.kind)
