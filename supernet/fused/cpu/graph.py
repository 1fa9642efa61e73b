"""A whole mixed graph on a CPU as one autograd function: the ``fused`` backend there. Differentiable once.

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``e`` edge, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from supernet.fused.cpu.backward import Backward
from supernet.fused.cpu.forward import Forward
from supernet.fused.cpu.tensors import GraphTensors
from supernet.fused.graph.description import Graph, flat_tensors
from supernet.mixed.states import States


def fused(
    graph: Graph,
    description: str,
    inputs: Sequence[Tensor],
    gates: Tensor,
    edges: Tensor | None = None,
    skip: Tensor | None = None,
    bias: Tensor | None = None,
) -> States:
    """Return all states of the graph, the inputs first.

    Args:
        description: of the graph, see ``supernet.fused.graph.description``.
        inputs: the input states, each ``(b, c, h, w)``, float32 or float64.
        gates: ``(e, o)``, multiplied by the weights of edges already.
        edges: weights of the channels that bypass the candidates, ``(e,)``.
        skip: gates of auxiliary skips, ``(e,)``, multiplied by the weights of edges already.
        bias: is added to each edge's output, ``(e,)``.
    """
    images = [x.permute(0, 2, 3, 1).contiguous() for x in inputs]
    if skip is not None:
        gates = torch.cat([gates, skip[:, None]], 1)
    weights = torch.ones(len(gates)) if edges is None else edges
    dtype = images[0].dtype
    params, buffers = flat_tensors(graph, skip is not None)
    added = torch.zeros(len(gates)) if bias is None else bias
    given = *(values.to(dtype) for values in (gates, weights, added)), *images
    own = (param.to(dtype).contiguous() for param in params)
    moved = [buffer.to(dtype) for buffer in buffers]
    options = graph.training, torch.is_grad_enabled()
    nodes = _MixedGraph.apply(description, len(images), moved, *options, *given, *own)
    for buffer, found in zip(buffers, moved):
        if found is not buffer:
            buffer.copy_(found)
    return States([*inputs, *(node.permute(0, 3, 1, 2) for node in nodes.unbind(0))])


class _MixedGraph(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, description: str, count: int, buffers: Sequence[Tensor], training: bool, keep: bool, *tensors: Tensor
    ) -> Tensor:
        """``tensors``: the gates, the edges' weights and biases, ``count`` inputs ``(b, h, w, c)``, the parameters.
        ``keep``: whether a backward pass may follow.
        """
        gates, edges, bias, *rest = tensors
        run = GraphTensors(description, rest[:count], gates, rest[count:])
        run.allocate()
        nodes = Forward(run, edges, bias, buffers, training=training, keep=keep).nodes()
        if not keep:
            return nodes
        ctx.save_for_backward(*tensors, *run.kept())
        ctx.description, ctx.count, ctx.tensors, ctx.training = description, count, len(tensors), training
        ctx.planes = tuple(run.planes)
        return nodes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gates, edges, _, *rest = ctx.saved_tensors[: ctx.tensors]
        inputs, params = rest[: ctx.count], rest[ctx.count :]
        need = any(ctx.needs_input_grad[-len(params) :]) if params else False
        run = GraphTensors(ctx.description, inputs, gates, params)
        run.restore(ctx.saved_tensors[ctx.tensors :], ctx.planes)
        found = Backward(run, edges, grad, training=ctx.training, need_params=need).gradients()
        to_inputs, to_gates, to_edges, to_bias, to_params = found
        own = to_params if need else [None] * len(params)
        return None, None, None, None, None, to_gates.view_as(gates), to_edges, to_bias, *to_inputs, *own
