"""A whole mixed graph as one operator with an explicit backward: the ``fused`` backend.

Registered with ``torch.library``, so that ``torch.compile`` and CUDA graphs see one operator with known shapes.
Differentiable once. Candidates whose gate is 0 are skipped on the device; the host never waits for gate values.

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``e`` edge, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from supernet.fused.batch_norm import move_running
from supernet.fused.graph.backward import graph_backward
from supernet.fused.graph.description import Graph, flat_tensors
from supernet.fused.graph.forward import graph_forward
from supernet.fused.graph.norms import norms_of
from supernet.fused.graph.plan import plan_of
from supernet.fused.graph.tensors import GraphTensors, allocate
from supernet.fused.launch import sum_type
from supernet.mixed.states import States


def fused(
    graph: Graph,
    description: str,
    inputs: Sequence[Tensor],
    gates: Tensor,
    edges: Tensor | None = None,
    skip: Tensor | None = None,
) -> States:
    """Return all states of the graph, the inputs first; a few kernels compute each. Only outputs pass gradients on.

    Args:
        description: of the graph, see ``supernet.fused.graph.description``.
        inputs: the input states, each ``(b, c, h, w)``.
        gates: ``(e, o)``, multiplied by the weights of edges already.
        edges: weights of the channels that bypass the candidates, ``(e,)``.
        skip: gates of auxiliary skips, ``(e,)``, multiplied by the weights of edges already.
    """
    device = inputs[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs[0].dtype
    sums = sum_type(dtype)
    with torch.autocast(device, enabled=False):
        states = [x.to(dtype, memory_format=torch.channels_last) for x in inputs]
        images = [x.permute(0, 2, 3, 1).contiguous() for x in states]  # a slice of channels stays strided
        if skip is not None:
            gates = torch.cat([gates, skip[:, None]], 1)
        if edges is None:
            edges = gates.new_ones(len(gates)) if graph.partial > 1 else gates.new_empty(0)
        given = gates.to(sums).contiguous(), edges.to(sums)
        params, buffers = flat_tensors(graph, skip is not None)
        results, nodes, _, mean, _, _, variances = mixed_graph(
            images, *given, params, buffers, description, graph.training
        )
        if graph.training and buffers:
            move_statistics(mean, variances, given[0], buffers, description)
        beside = results.permute(0, 3, 1, 2)
        inner = [node.permute(0, 3, 1, 2) for node in nodes[: graph.nodes - graph.outputs]]
        outputs = beside.unflatten(1, (graph.outputs, -1)).unbind(1) if graph.outputs > 1 else [beside]
        return States([*states, *inner, *outputs], beside)


mixed_graph = torch.library.custom_op("supernet::mixed_graph", graph_forward, mutates_args=())


@mixed_graph.register_fake
def _(inputs, gates, edges, params, buffers, description, training):
    return list(allocate(GraphTensors(description, inputs, gates, params)))


def move_graph_statistics(
    mean: Tensor, variances: Tensor, gates: Tensor, buffers: list[Tensor], description: str
) -> None:
    """Move the running statistics of a graph's operations, stacked, towards those of a batch."""
    running, rows = [], []
    for source in plan_of(description).sources:
        for norm in norms_of(source, buffers):
            for slot, place, gate in zip(norm.slots, norm.places, norm.gates):
                running.append((norm.running_mean[slot], norm.running_var[slot]))
                rows.append((place, gate))
    if rows:
        move_running(mean, variances, running, tuple(rows), gates.flatten())


move_statistics = torch.library.custom_op("supernet::move_statistics", move_graph_statistics, mutates_args=("buffers",))


mixed_graph_backward = torch.library.custom_op("supernet::mixed_graph_backward", graph_backward, mutates_args=())


@mixed_graph_backward.register_fake
def _(grad, inputs, gates, edges, params, saved, description, training, need_params):
    given = [*inputs, gates, edges, *(params if need_params else [])]
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in given]


def _setup(ctx, inputs, output):
    states, gates, edges, params, buffers, *ctx.options = inputs
    ctx.counts = len(states), len(params), len(buffers)
    ctx.set_materialize_grads(False)  # nothing but the first result has a gradient
    ctx.save_for_backward(*states, gates, edges, *params, *output[1:])


def _backward(ctx, grads):
    states, count, buffers = ctx.counts
    inputs, (gates, edges) = list(ctx.saved_tensors[:states]), ctx.saved_tensors[states : states + 2]
    rest = list(ctx.saved_tensors[states + 2 :])
    params, saved = rest[:count], rest[count:]
    if grads[0] is None or any(grad is not None for grad in grads[1:]):
        raise RuntimeError("the gradient of a node that is not among the graph's outputs")
    need = ctx.needs_input_grad[3]
    wanted = any(need) if isinstance(need, Sequence) else bool(need)
    found = mixed_graph_backward(grads[0].contiguous(), inputs, gates, edges, params, saved, *ctx.options, wanted)
    grad_params = found[states + 2 :] if wanted else [None] * count
    return found[:states], found[states], found[states + 1], grad_params, [None] * buffers, None, None


mixed_graph.register_autograd(_backward, setup_context=_setup)
