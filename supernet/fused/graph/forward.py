"""The forward pass of a mixed graph, step by step.

For the inputs together, then for each node: its convolutions and pools with their statistics, then the node that is
complete by then. Candidates whose gate is 0 are skipped on the device; the host never waits for gate values.

Axes: ``b`` batch, ``h w`` space, ``c`` channel, ``m`` pixel of the batch, ``e`` edge, ``o`` candidate; images are
channels-last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from supernet.fused.batch_norm import finalize_statistics, running_statistics
from supernet.fused.combine import combine_forward
from supernet.fused.conv_forward import convs_forward, normalized_sources
from supernet.fused.cuda import convs as cuda
from supernet.fused.cuda import nodes as cuda_nodes
from supernet.fused.graph.description import POOLS
from supernet.fused.graph.library_convs import library_forward
from supernet.fused.graph.norms import norms_of
from supernet.fused.graph.partial_channels import bypass, merge_channels
from supernet.fused.graph.plan import Source, edges_of
from supernet.fused.graph.tensors import GraphTensors, allocate, dense_by_launch, index_of
from supernet.fused.launch import blocks_of, zero_counters
from supernet.fused.shared.pools import pools_forward
from supernet.fused.streams import Beside
from supernet.ops import BatchNorm

Statistics = tuple[Tensor, Tensor, Tensor]
"""Mean, 1 / std and unbiased variance at every place, ``(place, c)`` each."""


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
        inputs: input states, each ``(b, h, w, c)``, contiguous.
        gates: ``(e, o)``, in the type of sums.
        edges: weights of the channels that bypass the candidates, ``(e,)``, where channels are partial.
        params, buffers: of all operations, stacked, in the plan's order.
        description: of the graph, see ``supernet.fused.graph.description``.
        training: whether BatchNorm uses the batch's statistics.

    Returns:
        The outputs with their channels side by side, ``(b, h, w, output c)``; for the backward pass the nodes that
        edges leave, ``(node, b, h, w, c)``, the planes, mean and 1 / std at each place, and the positions of maxima;
        for the running statistics, the unbiased variance at each place.
    """
    run = GraphTensors(description, inputs, gates, params)
    plan = run.plan
    dense = dense_by_launch(run)
    results, nodes, planes, mean, rstd, places, variances = allocate(run)
    statistics = mean, rstd, variances
    states = nodes if plan.partial == 1 else planes.new_empty(plan.nodes, run.pixels, run.width)
    states = states.view(len(states), run.pixels, run.width)
    side_by_side = [None] * (plan.nodes - plan.outputs) + [*results.view(run.pixels, plan.outputs, -1).unbind(1)]
    bypassed: list[Tensor | None] = [None] * plan.nodes
    if not training:
        for source in plan.sources:
            for norm in norms_of(source, buffers):
                running = norm.running_mean, norm.running_var
                running_statistics(mean, rstd, running, norm.slots, norm.places)
    zeros = zero_counters(planes.device, plan.planes + len(plan.sources) * blocks_of(run.width))
    counters, of_pools = zeros[: plan.planes] if training else None, zeros[plan.planes :]
    beside = Beside(planes.device)
    for step in plan.steps:
        xs = [run.state(source, states) for source in step]
        with beside.launches():
            _pool(run, step, xs, planes, places, statistics, of_pools, training)
        for half in (0, 1):
            for source in step:
                given = run, source, run.read_by(source, states), planes, dense, statistics, counters, training
                _convolve(*given, half=half)
        for source, x in zip(step, xs):
            _convolve_by_library(run, source, x, planes, statistics, training)
            if plan.partial > 1:
                rest = bypass(run.full_state(source, nodes), run.width, source.stride)
                for row, node in edges_of(plan, source):
                    part = edges[row].to(rest.dtype) * rest
                    before = bypassed[node]
                    bypassed[node] = part if before is None else before + part
        beside.join()
        node = step[-1].state + 1 - plan.inputs
        kept, beside_others, passed = states[node] if node < len(states) else None, side_by_side[node], bypassed[node]
        to = kept, beside_others if passed is None else None
        combine = cuda_nodes.combine_forward if run.nodes_by_cuda else combine_forward
        combine(*to, run.terms(node, states, planes, mean, rstd))
        if passed is not None:
            nodes[node] = merge_channels(states[node].view(*run.size, -1), passed)
            states[node] = nodes[node].view(run.pixels, -1)[:, : run.width]
            if beside_others is not None:
                beside_others.copy_(nodes[node].view(run.pixels, -1))
    return [results, nodes, planes, mean, rstd, places, variances]


def _pool(
    run: GraphTensors,
    step: Sequence[Source],
    xs: Sequence[Tensor],
    planes: Tensor,
    places: Tensor,
    statistics: Statistics,
    counters: Tensor,
    training: bool,
) -> None:
    """Compute the pools of all states of a step, if any edge has one, and their statistics."""
    if not any(source.pools for source in step):
        return
    first, last, blocks = step[0], step[-1], blocks_of(run.width)
    rows = []
    for number, source in enumerate(step):
        normed = [(row, source.pools[row.kind]) for row in source.pool_rows if source.pools[row.kind].normed]
        rows += [row._replace(kind=len(POOLS) * number + POOLS.index(op.kind)) for row, op in normed]
    where = places[first.state : last.state + 1]
    pools = planes[first.pool_plane : last.pool_plane + 2] if first.pool_plane < run.stored else None
    given = run.table(rows), run.gates, statistics, counters[first.state * blocks : (last.state + 1) * blocks]
    pools_forward(xs, pools, where, first.stride, *given, training)


def _convolve(
    run: GraphTensors,
    source: Source,
    xs: Sequence[Tensor],
    planes: Tensor,
    dense: Mapping[tuple[int, int], Tensor],
    statistics: Statistics,
    counters: Tensor | None,
    training: bool,
    *,
    half: int,
) -> None:
    """Compute the planes of a source's convolutions and their statistics: of first halves, 0, or second ones, 1.

    Args:
        xs: the states that the first halves read.
        counters: zeros, one for each plane; ``None`` in evaluation.
    """
    mean, rstd, variances = statistics
    convs = source.second if half else source.first
    if not convs.rows:
        return
    kinds, reads = run.kinds(convs, half), run.size if half else xs[0].shape[:3]
    given, stride = (dense[source.state, half], convs.rows, kinds, run.gates), 1 if half else source.stride
    if run.by_cuda:
        states = None if half else xs
        cuda.convs_forward(states, reads, stride, planes, *given, statistics=statistics, counters=counters)
        return
    if half:
        middle = normalized_sources(planes, convs.rows, run.gates, (mean, rstd), run.size, kinds.reach)
        partial, tile = convs_forward(middle, planes, *given, border=kinds.reach)
    else:
        partial, tile = convs_forward(xs[0], planes, *given, stride)
    if training:
        table = run.table(convs.rows)
        finalize_statistics(partial, tile, run.pixels, table, mean, rstd, variances, run.gates)


def _convolve_by_library(
    run: GraphTensors, source: Source, x: Tensor, planes: Tensor, statistics: Statistics, training: bool
) -> None:
    """Compute the planes of the operations that the library's own kernels compute, and their statistics."""
    mean = statistics[0]
    for conv in source.library:
        y = library_forward(conv.op, x, run.params[slice(*conv.op.params)])
        to = index_of(conv.planes, y.device)
        planes.index_copy_(0, to, y)
        if training:
            variance, average = torch.var_mean(y.to(mean.dtype), 1, correction=0)
            unbiased = variance * (run.pixels / max(run.pixels - 1, 1))
            found = average, (variance + BatchNorm.eps).rsqrt(), unbiased
            for kept, new in zip(statistics, found):
                kept.index_copy_(0, to, new)
