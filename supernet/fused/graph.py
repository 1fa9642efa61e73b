"""A whole mixed graph as one operator with a hand-made backward: the third backend.

Forward, source by source: convolutions and pools of the state, their statistics, then the node that is complete by
then. Backward, in reverse: a node's gradient is complete when all states behind it have handed theirs back; one pass
over its terms gives the coefficients by which every plane's gradient is formed where it is read. For the backward pass
are kept the states, the planes, and a byte for each maximum; everything else is computed again.

Registered with ``torch.library``, so that ``torch.compile`` and CUDA graphs see one operator with known shapes.
Differentiable once. Candidates whose gate is 0 are left out on the device; nothing waits for their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from supernet.fused.combine import combine_forward, combine_sums, shared_gradient
from supernet.fused.convs import Kinds, convs_forward
from supernet.fused.gradients import convs_backward, half_gradient, input_gradient
from supernet.fused.launch import ceil_div, on_device, sum_type
from supernet.fused.library import library_backward, library_forward
from supernet.fused.partial import joined, parted, passing, passing_backward, seen
from supernet.fused.plan import POOLS, Convs, Op, Plan, Source, flat_tensors, plan_of
from supernet.fused.pools import pools_backward, pools_forward
from supernet.fused.statistics import finalize_coefficients, finalize_statistics, move_running, running_statistics
from supernet.ops import BatchNorm

if TYPE_CHECKING:
    from supernet.mixed.graph import MixedGraph


def fused(
    graph: MixedGraph,
    description: str,
    inputs: Sequence[Tensor],
    gates: Tensor,
    edges: Tensor | None = None,
    skip: Tensor | None = None,
) -> list[Tensor]:
    """All states of the graph, in a few kernels for each.

    Args:
        description: of the graph, see ``supernet.fused.plan``.
        inputs: the given states, each ``(b, c, h, w)``.
        gates: ``(e, o)``; edges: weights of what passes by the candidates, ``(e,)``; skip: gates of auxiliary
            skips, ``(e,)``. Weights of edges are contained in ``gates`` and ``skip``.
    """
    device = inputs[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs[0].dtype
    sums = sum_type(dtype)
    with torch.autocast(device, enabled=False):
        states = [x.to(dtype, memory_format=torch.channels_last) for x in inputs]
        images = [x.permute(0, 2, 3, 1) for x in states]
        auxiliary = skip is not None
        gates = torch.cat([gates, skip[:, None]], 1) if auxiliary else gates
        weights = torch.ones(len(gates), device=gates.device) if edges is None else edges
        given = gates.to(sums).contiguous(), weights.to(sums)
        params, buffers = flat_tensors(graph, auxiliary)
        nodes, _, mean, _, _, variances = mixed_graph(images, *given, params, buffers, description, graph.training)
        if graph.training and buffers:
            move_statistics(mean, variances, given[0], buffers, description)
        return [*states, *(node.permute(0, 3, 1, 2) for node in nodes.unbind(0))]


class _Run:
    """One call's tensors, found by the plan."""

    def __init__(self, plan: Plan, inputs: Sequence[Tensor], gates: Tensor, params: Sequence[Tensor]):
        self.plan, self.inputs, self.params, self.gates = plan, inputs, params, gates.flatten()
        b, h, w, self.channels = inputs[0].shape
        self.width = self.channels // plan.partial
        self.size = b, ceil_div(h, plan.stride), ceil_div(w, plan.stride)
        self.pixels = b * self.size[1] * self.size[2]
        self.seen = [seen(x, self.width) for x in inputs]
        self.flat_inputs = [x.reshape(self.pixels, self.width) for x in self.seen] if plan.stride == 1 else []

    def table(self, rows: Sequence[tuple[int, ...]]) -> Tensor:
        return on_device(tuple(rows), self.gates.device)

    def state(self, source: Source, nodes: Tensor) -> Tensor:
        """What candidates see of the state that a source's edges leave, ``(b, h, w, k)``; so are ``nodes``."""
        given = self.plan.inputs
        return self.seen[source.state] if source.state < given else nodes[source.state - given].view(*self.size, -1)

    def kinds(self, convs: Convs, half: int) -> Kinds:
        """The weights of a launch: the first or second halves of its convolutions."""
        pairs = [self.params[op.params[0] + 2 * half : op.params[0] + 2 * half + 2] for op in convs.ops]
        depthwise, pointwise = zip(*pairs)
        sides, dilations = zip(*((op.side, op.dilation) for op in convs.ops))
        return Kinds(sides, dilations, depthwise, pointwise)


Norm = tuple[tuple[Tensor, Tensor], list[int], list[int], list[int]]


def _norms(source: Source, buffers: Sequence[Tensor]) -> Iterator[Norm]:
    """Every BatchNorm of a source: its stacked running mean and variance; slots, places and gates of its edges."""

    def of(op: Op, half: int, rows: Sequence[tuple[int, ...]]) -> Norm:
        first = op.buffers[0] + 2 * half
        slots, planes, gates = zip(*((row[1], row[3], row[4]) for row in rows))
        return (buffers[first], buffers[first + 1]), list(slots), list(planes), list(gates)

    for convs, half in ((source.first, 0), (source.second, 1)):
        for kind, op in enumerate(convs.ops):
            yield of(op, half, [row for row in convs.rows if row[0] == kind])
    for number, op in enumerate(source.pools):
        if op.normed:
            yield of(op, 0, [row for row in source.pool_rows if row[0] == number])
    for op, planes, _, gates in source.library:
        yield of(op, 0, [(0, slot, -1, plane, gate) for slot, (plane, gate) in enumerate(zip(planes, gates))])


def graph_forward(
    inputs: list[Tensor],
    gates: Tensor,
    edges: Tensor,
    params: list[Tensor],
    buffers: list[Tensor],
    description: str,
    training: bool,
) -> list[Tensor]:
    """Compute a graph.

    Args:
        inputs: given states, each ``(b, h, w, c)``, contiguous.
        gates: ``(e, o)``, in the type of sums; edges: ``(e,)``, weights of what passes by, where channels are partial.
        params, buffers: of all operations, stacked, in the plan's order.
        description: of the graph, see ``supernet.fused.plan``.
        training: whether BatchNorm takes the batch's statistics.

    Returns:
        The nodes, ``(node, b, h, w, c)``; for the backward pass the planes, mean and 1 / std at each place, and where
        the maxima stood; for the running statistics, the unbiased variance at each place.
    """
    plan = plan_of(description)
    run = _Run(plan, inputs, gates, params)
    nodes, planes, mean, rstd, places, variances = _empty(plan, inputs)
    statistics = mean, rstd
    states = nodes if plan.partial == 1 else planes.new_empty(plan.nodes, run.pixels, run.width)
    states = states.view(plan.nodes, run.pixels, run.width)
    passed: list[Tensor | None] = [None] * plan.nodes
    if not training:
        for source in plan.sources:
            for running, slots, at, _ in _norms(source, buffers):
                running_statistics(mean, rstd, running, slots, at)
    for source in plan.sources:
        x = run.state(source, states)
        if source.pools:
            pools = planes[source.pool_plane : source.pool_plane + 2]
            partial, tile = pools_forward(x, pools, places[source.state], source.stride)
            if training:
                _pool_statistics(run, source, partial, tile, mean, rstd, variances)
        for half, convs in enumerate((source.first, source.second)):
            if not convs.rows:
                continue
            kinds, table = run.kinds(convs, half), run.table(convs.rows)
            if half:
                partial, tile = convs_forward(planes, planes, table, kinds, run.gates, run.size, 1, statistics)
            else:
                partial, tile = convs_forward(x, planes, table, kinds, run.gates, x.shape[:3], source.stride)
            if training:
                finalize_statistics(partial, tile, run.pixels, table, mean, rstd, variances, run.gates)
        for op, at, _, _ in source.library:
            y = library_forward(op, x, params[slice(*op.params)])
            to = _index(at, y.device)
            planes.index_copy_(0, to, y)
            if training:
                variance, average = torch.var_mean(y.to(mean.dtype), 1, correction=0)
                unbiased = variance * (run.pixels / max(run.pixels - 1, 1))
                found = average, (variance + BatchNorm.eps).rsqrt(), unbiased
                for kept, new in zip((mean, rstd, variances), found):
                    kept.index_copy_(0, to, new)
        if plan.partial > 1:
            rest = passing(_whole(plan, source, inputs, nodes), run.width, source.stride)
            for row, node in _edges(plan, source):
                part = edges[row].to(rest.dtype) * rest
                passed[node] = part if passed[node] is None else passed[node] + part
        node = source.state + 1 - plan.inputs
        if node >= 0:
            terms = run.table(plan.terms), plan.node_terms[node]
            combine_forward(states[node], run.flat_inputs, states, planes, statistics, *terms, run.gates)
            if plan.partial > 1:
                nodes[node] = joined(states[node].view(*run.size, -1), passed[node])
                states[node] = nodes[node].view(run.pixels, -1)[:, : run.width]
    return [nodes, planes, mean, rstd, places, variances]


mixed_graph = torch.library.custom_op("supernet::mixed_graph", graph_forward, mutates_args=())


@mixed_graph.register_fake
def _(inputs, gates, edges, params, buffers, description, training):
    return list(_empty(plan_of(description), inputs))


def _empty(plan: Plan, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Nodes, planes, mean, 1 / std, places of maxima, unbiased variances, not filled in."""
    b, h, w, c = inputs[0].shape
    h, w, width = ceil_div(h, plan.stride), ceil_div(w, plan.stride), c // plan.partial
    nodes = inputs[0].new_empty(plan.nodes, b, h, w, c)
    planes = inputs[0].new_empty(plan.planes, b * h * w, width)
    mean, rstd, variances = (planes.new_empty(plan.places, width, dtype=sum_type(planes.dtype)) for _ in range(3))
    pooled = len(plan.sources) if any(source.pools for source in plan.sources) else 0
    return nodes, planes, mean, rstd, planes.new_empty(pooled, b * h * w, width, dtype=torch.uint8), variances


def _index(places: Sequence[int], device: torch.device) -> Tensor:
    return on_device(tuple(places), device, torch.int64)


def _edges(plan: Plan, source: Source) -> list[tuple[int, int]]:
    """(row of the gates, node) of each edge that leaves a state."""
    first = max(0, source.state + 1 - plan.inputs)
    return list(zip(source.rows, range(first, plan.nodes)))


def _pool_statistics(run: _Run, source: Source, partial, tile, mean, rstd, variances) -> None:
    for number, op in enumerate(source.pools):
        rows = [row for row in source.pool_rows if row[0] == number]
        if op.normed:
            parts = partial[POOLS.index(op.kind)][None]
            table = run.table(rows)
            finalize_statistics(parts, tile, run.pixels, table, mean, rstd, variances, run.gates, len(rows))


@torch.library.custom_op("supernet::move_statistics", mutates_args=("buffers",))
def move_statistics(mean: Tensor, variances: Tensor, gates: Tensor, buffers: list[Tensor], description: str) -> None:
    """Move the running statistics of a graph's operations, stacked, towards those of a batch."""
    running, rows = [], []
    for source in plan_of(description).sources:
        for (means, averages), *places in _norms(source, buffers):
            for slot, plane, gate in zip(*places):
                running.append((means[slot], averages[slot]))
                rows.append((plane, gate))
    if rows:
        move_running(mean, variances, running, tuple(rows), gates.flatten())


def graph_backward(
    grad: Tensor,
    inputs: list[Tensor],
    gates: Tensor,
    edges: Tensor,
    params: list[Tensor],
    saved: list[Tensor],
    description: str,
    training: bool,
    need_params: bool,
) -> list[Tensor]:
    """Gradients of a graph: of each input, of the gates, of the edges' weights, and, if asked for, of ``params``.

    Args:
        grad: of the nodes, ``(node, b, h, w, c)``.
        saved: what ``graph_forward`` returned.
        Others as there.
    """
    plan = plan_of(description)
    run = _Run(plan, inputs, gates, params)
    nodes, planes, mean, rstd, places, _ = saved
    statistics = mean, rstd
    states = seen(nodes, run.width).view(len(nodes), run.pixels, run.width)
    terms = run.table(plan.terms)
    grads = planes.new_empty(len(nodes) + plan.halves, run.pixels, run.width)
    coefficients = mean.new_empty(3, plan.places, run.width)
    gate_grads, edge_grads = torch.zeros_like(run.gates), torch.zeros_like(edges)
    whole = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in inputs]
    if plan.partial == 1:
        grads[: len(nodes)] = grad.reshape(len(nodes), run.pixels, -1)
    else:
        whole += list(grad.clone().unbind(0))
    passed: dict[int, Tensor] = {}
    grad_params = [torch.zeros_like(p) for p in params] if need_params else []
    for source in reversed(plan.sources):
        node = source.state + 1 - plan.inputs
        if node >= 0:
            if plan.partial > 1:
                mixed, passed[node] = parted(whole[plan.inputs + node], run.width)
                grads[node] = mixed.reshape(run.pixels, run.width)
            rows = plan.node_terms[node]
            sums = combine_sums(grads, run.flat_inputs, states, planes, statistics, terms, rows, node, run.gates)
            own = terms[rows.start : rows.stop]
            found = run.gates, gate_grads
            finalize_coefficients(sums, run.pixels, own, *statistics, coefficients, *found, training, place=1)
        x = run.state(source, states)
        if plan.partial == 1:
            given = source.state < plan.inputs
            out = whole[source.state] if given else grads[source.state - plan.inputs].view_as(x)
        else:
            out = torch.zeros_like(x)
        _shared_backward(run, source, planes, places, grads, coefficients, out)
        for op, at, behind, _ in source.library:
            a, b, s = (t.index_select(0, _index(at, t.device)).unsqueeze(1) for t in coefficients)
            g = grads.index_select(0, _index(behind, x.device)).to(a.dtype)
            y = planes.index_select(0, _index(at, x.device)).to(a.dtype)
            own = params[slice(*op.params)]
            hand, weights = library_backward(op, x, own, a * g + b * y + s, need_params)
            out += hand.to(out.dtype)
            grad_params[op.params[0] : op.params[0] + len(weights)] = weights
        if source.second.rows:
            kinds, table = run.kinds(source.second, 1), run.table(source.second.rows)
            arguments = planes, planes, grads, coefficients, table, kinds, run.gates, run.size, 1, statistics
            d, *weights = convs_backward(*arguments, weights=need_params)
            _keep(source.second, 1, weights, grad_params)
            behind = len(nodes) - plan.finals
            sums = half_gradient(d, planes, statistics, grads, behind, table, kinds, run.gates, run.size)
            halves = run.table([(*row[:3], row[2], *row[4:]) for row in source.second.rows])
            finalize_coefficients(sums, run.pixels, halves, *statistics, coefficients, run.gates, None, training)
        if source.first.rows:
            kinds, table = run.kinds(source.first, 0), run.table(source.first.rows)
            arguments = x, planes, grads, coefficients, table, kinds, run.gates, x.shape[:3], source.stride
            d, *weights = convs_backward(*arguments, weights=need_params)
            _keep(source.first, 0, weights, grad_params)
            input_gradient(x, d, out, table, kinds, run.gates, source.stride)
        if plan.partial > 1:
            target, full = whole[source.state], _whole(plan, source, inputs, nodes)
            target[..., : run.width] += out
            rest = passing(full, run.width, source.stride).to(edges.dtype)
            total = 0
            for row, node in _edges(plan, source):
                edge_grads[row] = (passed[node].to(edges.dtype) * rest).sum()
                total = total + edges[row].to(target.dtype) * passed[node]
            target[..., run.width :] += passing_backward(full, total, run.width, source.stride)
    return [*whole[: plan.inputs], gate_grads.view_as(gates), edge_grads, *grad_params]


mixed_graph_backward = torch.library.custom_op("supernet::mixed_graph_backward", graph_backward, mutates_args=())


@mixed_graph_backward.register_fake
def _(grad, inputs, gates, edges, params, saved, description, training, need_params):
    given = [*inputs, gates, edges, *(params if need_params else [])]
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in given]


def _setup(ctx, inputs, output):
    states, gates, edges, params, buffers, *ctx.options = inputs
    ctx.counts = len(states), len(params), len(buffers)
    ctx.save_for_backward(*states, gates, edges, *params, *output)


def _backward(ctx, grads):
    states, count, buffers = ctx.counts
    inputs, (gates, edges) = list(ctx.saved_tensors[:states]), ctx.saved_tensors[states : states + 2]
    rest = list(ctx.saved_tensors[states + 2 :])
    params, saved = rest[:count], rest[count:]
    need = ctx.needs_input_grad[3]
    wanted = any(need) if isinstance(need, Sequence) else bool(need)
    found = mixed_graph_backward(grads[0].contiguous(), inputs, gates, edges, params, saved, *ctx.options, wanted)
    grad_params = found[states + 2 :] if wanted else [None] * count
    return found[:states], found[states], found[states + 1], grad_params, [None] * buffers, None, None


mixed_graph.register_autograd(_backward, setup_context=_setup)


def _whole(plan: Plan, source: Source, inputs: Sequence[Tensor], nodes: Tensor) -> Tensor:
    """The state that a source's edges leave, with all its channels."""
    return inputs[source.state] if source.state < plan.inputs else nodes[source.state - plan.inputs]


def _keep(convs: Convs, half: int, weights: Sequence[Sequence[Tensor]], kept: list[Tensor]) -> None:
    """Put a launch's weight gradients where its parameters stand."""
    for op, depthwise, pointwise in zip(convs.ops, *weights):
        at = op.params[0] + 2 * half
        kept[at], kept[at + 1] = depthwise, pointwise


def _shared_backward(run: _Run, source: Source, planes, places, grads, coefficients, out) -> None:
    """What the pools, and the state where it passes unchanged, hand back."""
    if not (source.pool_terms or source.state_terms):
        return
    pools = planes.new_empty(2, run.pixels, run.width)
    terms = run.table(source.pool_terms), source.maxima, run.table(source.state_terms)
    shared_gradient(grads, planes, coefficients, run.gates, *terms, pools, out.view(-1, run.width))
    if source.pool_terms:
        pools_backward(pools, places[source.state], out, source.stride)
