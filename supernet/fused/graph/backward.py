"""The backward pass of a mixed graph: its sources in reverse order.

A node's gradient is complete when all states after it have added theirs. One pass over its terms then gives the
coefficients by which every plane's gradient is formed where it is read. Kept from the forward pass are the states, the
planes, and a byte for each maximum; everything else is recomputed.

Axes: as in ``supernet.fused.graph.forward``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from supernet.fused.batch_norm import finalize_coefficients
from supernet.fused.combine import combine_coefficients
from supernet.fused.conv_backward import half_gradient, input_gradient, plane_gradients
from supernet.fused.conv_forward import normalized_sources
from supernet.fused.conv_weight_backward import Parts, add_parts, conv_weight_parts
from supernet.fused.cuda import convs_backward as cuda
from supernet.fused.cuda import library
from supernet.fused.cuda import nodes as cuda_nodes
from supernet.fused.cuda import shared as cuda_shared
from supernet.fused.graph.library_convs import library_backward
from supernet.fused.graph.partial_channels import (
    active_channels,
    bypass,
    bypass_backward,
    split_channels,
    sum_of_gradients,
)
from supernet.fused.graph.plan import Convs, Source, edges_of
from supernet.fused.graph.tensors import GraphTensors, dense_by_launch, index_of
from supernet.fused.launch import on_device, zero_counters
from supernet.fused.rows import ConvRow, SharedRow
from supernet.fused.shared.gradient import shared_gradient
from supernet.fused.shared.pools import pools_backward
from supernet.fused.streams import Beside


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
    """Return the gradients of each input, of the gates, of the edges' weights, and, if asked for, of ``params``.

    Args:
        grad: gradient of the outputs, whose channels lie side by side, ``(b, h, w, output c)``.
        saved: what ``graph_forward`` returned for the backward pass.
        need_params: whether gradients of ``params`` are returned.
        inputs, gates, edges, params, description, training: as in ``graph_forward``.
    """
    given = description, grad, inputs, gates, edges, params, saved
    return _Backward(*given, training=training, need_params=need_params).gradients()


class _Backward:
    """One backward pass: the tensors that its steps fill.

    Attributes:
        grads: gradients behind BatchNorms, ``(gradient, m, width)``: of the nodes, then of the halves.
        coefficients: ``a``, ``b`` and ``s`` at every place, ``(3, place, width)``.
        full: where gradients of states with all their channels are summed: of the inputs; where channels are partial,
            of the nodes too.
        arriving: gradients of the nodes from outside, ``(m, c)`` each, which their sums begin with; ``None`` for those
            that are not read there.
        bypassed: node -> gradient of its sum of bypassed channels.
        weights, pools: streams for what runs beside the rest: gradients of weights, and of pools and skip connections.
        of_terms, of_planes, of_states: counters, one for each term and each plane, and ``BLOCKS`` of each state.
        dy: gradients of the planes of each launch, from which those of its weights are computed.
        parts: state -> parts of the gradients of its second halves' weights; they are added up beside the rest.
    """

    def __init__(
        self,
        description: str,
        grad: Tensor,
        inputs: list[Tensor],
        gates: Tensor,
        edges: Tensor,
        params: list[Tensor],
        saved: list[Tensor],
        *,
        training: bool,
        need_params: bool,
    ):
        self.edges, self.training, self.need_params = edges, training, need_params
        self.nodes, self.planes, mean, rstd, self.places, _ = saved
        self.run = run = GraphTensors(description, inputs, gates, params)
        self.plan = plan = run.plan
        self.statistics, self.dense = (mean, rstd), dense_by_launch(run, backward=True)
        self.states = active_channels(self.nodes, run.width).view(len(self.nodes), run.pixels, run.width)
        self.grads = self.planes.new_empty(plan.nodes + plan.halves, run.pixels, run.width)
        self.coefficients = mean.new_empty(3, plan.places, run.width)
        self.edge_grads = torch.zeros_like(edges)
        written = sum(len(rows) + len(idle) for rows, idle in zip(plan.node_terms, plan.idle) if rows)
        empty = torch.empty_like if written == gates.numel() else torch.zeros_like
        self.gate_grads = empty(gates, memory_format=torch.contiguous_format)
        of_each = len(plan.terms), plan.planes, cuda.BLOCKS * len(plan.sources)
        self.of_terms, self.of_planes, self.of_states = zero_counters(gates.device, sum(of_each)).split(of_each)
        inner = [None] * (plan.nodes - plan.outputs)
        by_node = [*inner, *grad.unflatten(-1, (plan.outputs, -1)).unbind(-2)]
        self.full = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in inputs]
        if plan.partial > 1:
            sums = inputs[0].new_zeros(plan.nodes, *run.size, run.channels)
            sums[len(inner) :] = grad.unflatten(-1, (plan.outputs, -1)).movedim(-2, 0)
            self.full = [*map(torch.zeros_like, self.full), *sums]
        self.arriving = [None if node is None else node.flatten(0, 2) for node in by_node]
        self.bypassed: dict[int, Tensor] = {}
        self.weights, self.pools = (Beside(self.planes.device, number) for number in range(2))
        self.dy: list[Tensor] = []
        self.parts: dict[int, Parts | None] = {}
        self.grad_params: list[Tensor | None] = [None] * len(params) if need_params else []

    def gradients(self) -> list[Tensor]:
        """Run the pass; see ``graph_backward``."""
        plan, run = self.plan, self.run
        for step in reversed(plan.steps):
            self._node(step[-1].state + 1 - plan.inputs)
            self._step(step)
        self.weights.join()
        found = zip(self.grad_params, run.params)
        grad_params = [torch.zeros_like(param) if grad is None else grad for grad, param in found]
        return [*self.full[: plan.inputs], self.gate_grads, self.edge_grads, *grad_params]

    def _step(self, step: Sequence[Source]) -> None:
        """Compute the gradients of a step's states through their operations, and those of their parameters."""
        plan, run = self.plan, self.run
        xs = [run.state(source, self.states) for source in step]
        outs = [sum_of_gradients(plan, source, x, self.full, self.grads) for source, x in zip(step, xs)]
        with self.pools.launches():
            self._pools_and_skips(step, xs, outs)
        for source in reversed(step):
            self._second_halves(source)
        self.pools.join()
        for source, x, out in reversed([*zip(step, xs, outs)]):
            self._library(source, x, out)
            if source.first.rows:
                self._first_halves(source, [outs[number - step[0].state] for number in source.reads])
        if plan.partial > 1:
            for source, out in zip(step, outs):
                self._bypass(source, out)

    def _node(self, node: int) -> None:
        """Compute the coefficients of a node's terms, and their gates' gradients."""
        plan, run = self.plan, self.run
        arriving: Tensor | None = None
        if plan.partial > 1:
            mixed, self.bypassed[node] = split_channels(self.full[plan.inputs + node], run.width)
            self.grads[node] = mixed.reshape(run.pixels, run.width)
        elif node + plan.inputs == len(plan.sources):  # no edge leaves it: nothing is added to what arrives
            arriving = self.arriving[node]
        rows = plan.node_terms[node]
        if not rows:
            return  # all its edges have no candidate but "none"
        terms = run.terms(node, self.states, self.planes, *self.statistics)
        idle, counters = on_device(tuple(plan.idle[node]), self.planes.device), self.of_terms[rows.start : rows.stop]
        to = self.coefficients, self.gate_grads
        combine = cuda_nodes.combine_coefficients if run.nodes_by_cuda else combine_coefficients
        combine(self.grads[node], arriving, terms, *to, idle, counters, self.training)

    def _pools_and_skips(self, step: Sequence[Source], xs: Sequence[Tensor], outs: Sequence[Tensor]) -> None:
        """Begin the sums of states' gradients with those through their pools and skip connections."""
        plan, run, first, last = self.plan, self.run, step[0], step[-1]
        flat = [out.view(-1, run.width) for out in outs]
        before: Sequence[Tensor] = flat if plan.partial > 1 else []
        if plan.partial == 1 and first.state >= plan.inputs:
            arriving = self.arriving[first.state - plan.inputs]
            before = [] if arriving is None else [arriving]
        pooled, skipped = any(source.pools for source in step), any(source.state_terms for source in step)
        if not (pooled or skipped):
            for number, out in enumerate(flat):
                if not before:
                    out.zero_()
                elif before[number] is not out:
                    out.copy_(before[number])
            return
        count = max(len(source.shared) for source in step)
        unused = SharedRow(-1, -1, -1, -1)
        rows = [row for source in step for row in [*source.shared, *[unused] * (count - len(source.shared))]]
        where = self.places[first.state : last.state + 1]
        if pooled and run.pools_by_cuda:
            states = xs, where, self.grads, self.coefficients, run.gates, run.table(rows)
            cuda_shared.pools_and_skips(*states, before or None, outs, first.stride, skips=skipped)
            return
        pools = self.planes[first.pool_plane : last.pool_plane + 2] if pooled else None
        grads = None if pools is None else torch.empty_like(pools)
        given = self.grads, pools, self.coefficients, run.gates, run.table(rows), grads
        shared_gradient(*given, before or None, flat if skipped else [])
        if grads is not None:
            pools_backward(grads, where, flat if skipped else before or None, outs, first.stride)

    def _library(self, source: Source, x: Tensor, out: Tensor) -> None:
        """Add the gradients through the operations that the library computes; keep their parameters' gradients."""
        for conv in source.library:
            at = index_of(conv.planes, x.device)
            a, b, s = (t.index_select(0, at).unsqueeze(1) for t in self.coefficients)
            g = self.grads.index_select(0, index_of(conv.behind, x.device)).to(a.dtype)
            y = self.planes.index_select(0, at).to(a.dtype)
            first, last = conv.op.params
            own = self.run.params[first:last]
            back, weights = library_backward(conv.op, x, own, a * g + b * y + s, self.need_params)
            out += back.to(out.dtype)
            self.grad_params[first : first + len(weights)] = weights

    def _second_halves(self, source: Source) -> None:
        """Compute the gradients behind the first halves' BatchNorms, and the first halves' coefficients; keep the parts
        of the gradients of the second halves' weights."""
        run, rows = self.run, source.second.rows
        if not rows:
            return
        kinds, behind = run.kinds(source.second, 1), self.plan.nodes - self.plan.finals
        dense, bordered = self.dense[source.state, 1], (run.size, kinds.reach)
        by_rows = behind, rows, kinds, run.gates, run.size
        if run.by_cuda:
            shared = library.shared_bytes(self.planes.device)
            joined = self.need_params and cuda.joins_weights(run.width, run.size, kinds, shared)
            given = self.planes, self.grads, self.coefficients, dense, self.statistics, *by_rows
            dy = None if joined else self._kept(rows)
            parts = cuda.half_gradient(*given, self.of_planes, self.training, dy, joined)
            self.parts[source.state] = parts or self._weights_by_cuda(source.second, 1, None, dy, run.size, 1)
            return
        dy = plane_gradients(self.planes, self.grads, self.coefficients, rows, run.gates, *bordered)
        if self.need_params:
            middle = normalized_sources(self.planes, rows, run.gates, self.statistics, *bordered)
            self.parts[source.state] = conv_weight_parts(middle, dy, rows, kinds, run.gates, border=kinds.reach)
        sums = half_gradient(dy, self.planes, dense, self.statistics, self.grads, *by_rows)
        halves = run.table([row._replace(target=row.source) for row in rows])
        finalize_coefficients(sums, run.pixels, halves, *self.statistics, self.coefficients, run.gates, self.training)

    def _first_halves(self, source: Source, outs: Sequence[Tensor]) -> None:
        """Add the gradients of the states that a source's first halves read to ``outs``; keep those of all weights."""
        run, rows, xs = self.run, source.first.rows, self.run.read_by(source, self.states)
        kinds, dense = run.kinds(source.first, 0), self.dense[source.state, 0]
        if run.by_cuda:
            dy, given = self._kept(rows), (xs, self.planes, self.grads, self.coefficients, outs)
            counters = self.of_states[source.reads[0] * cuda.BLOCKS : (source.reads[-1] + 1) * cuda.BLOCKS]
            cuda.input_gradient(*given, dense, rows, kinds, run.gates, source.stride, counters, dy)
            first = self._weights_by_cuda(source.first, 0, xs, dy, xs[0].shape[:3], source.stride)
            if first is not None:
                with self.weights.launches():
                    self._keep(source, first)
            return
        dy = plane_gradients(self.planes, self.grads, self.coefficients, rows, run.gates, run.size)
        if self.need_params:
            self._keep(source, conv_weight_parts(xs[0], dy, rows, kinds, run.gates, source.stride))
        input_gradient(xs[0], dy, outs[0], dense, rows, kinds, source.stride)

    def _kept(self, rows: Sequence[ConvRow]) -> Tensor | None:
        """Return memory for the gradients of the planes of a launch, if the weights' gradients are to be computed.

        It is kept until these are, which run beside the rest.
        """
        if not self.need_params:
            return None
        self.dy.append(self.planes.new_empty(len(rows), *self.planes.shape[1:]))
        return self.dy[-1]

    def _weights_by_cuda(
        self,
        convs: Convs,
        half: int,
        states: Sequence[Tensor] | None,
        dy: Tensor | None,
        size: Sequence[int],
        stride: int,
    ) -> Parts | None:
        """Return the parts of a launch's weight gradients, computed beside the rest; nothing but their sums waits."""
        if dy is None:
            return None
        given = states, self.planes, dy, convs.rows, self.run.kinds(convs, half), self.run.gates
        with self.weights.launches():
            return cuda.conv_weight_parts(*given, self.statistics, size, stride)

    def _bypass(self, source: Source, out: Tensor) -> None:
        """Add the gradients of a state's active and bypassed channels to that of the whole state."""
        run, edges = self.run, self.edges
        target, state = self.full[source.state], run.full_state(source, self.nodes)
        target[..., : run.width] += out
        rest = bypass(state, run.width, source.stride).to(edges.dtype)
        total = torch.zeros((), dtype=target.dtype, device=target.device)
        for row, node in edges_of(self.plan, source):
            self.edge_grads[row] = (self.bypassed[node].to(edges.dtype) * rest).sum()
            total = total + edges[row].to(target.dtype) * self.bypassed[node]
        target[..., run.width :] += bypass_backward(state, total, run.width, source.stride)

    def _keep(self, source: Source, first: Parts) -> None:
        """Add the parts of a source's weight gradients; keep these at the indices of their parameters."""
        second = self.parts.get(source.state)
        halves = [(source.first, 0, first)] + ([(source.second, 1, second)] if second is not None else [])
        found = add_parts([parts for *_, parts in halves], self.run.gates)
        for (convs, half, _), gradients in zip(halves, found):
            for op, depthwise, pointwise in zip(convs.ops, *gradients):
                at = op.params[0] + 2 * half
                self.grad_params[at], self.grad_params[at + 1] = depthwise, pointwise
