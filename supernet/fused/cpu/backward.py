"""The backward pass of a mixed graph on a CPU: its sources in reverse order.

A node's gradient is complete when all states after it have added theirs. One pass over its terms then gives the
coefficients by which every plane's gradient, ``a g + b y + s``, is formed where it is read. Kept from the forward pass
are the states, the planes, and a byte for each maximum; everything else is recomputed.

Axes: as in ``supernet.fused.cpu.forward``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from supernet.fused.cpu.functions import PoolTerm, combine_sums, convs_backward, pools_backward
from supernet.fused.cpu.launches import Launch, Numbers, addresses, fill, launches_of
from supernet.fused.cpu.tensors import GraphTensors
from supernet.fused.graph.description import AVERAGE, POOLS
from supernet.fused.graph.library_convs import library_backward
from supernet.fused.graph.partial_channels import bypass, bypass_backward, split_channels, sum_of_gradients
from supernet.fused.graph.plan import Source, edges_of
from supernet.fused.rows import NORMALIZED


class Backward:
    """One backward pass: the tensors that its steps fill.

    Args:
        run: of the forward pass.
        edges: as in the forward pass.
        grad: gradient of the nodes, ``(node, b, h, w, c)``.
        training: as in the forward pass.
        need_params: whether gradients of the parameters are computed.

    Attributes:
        grads: gradients behind BatchNorms, ``(m, width)`` each: of the nodes, then of the halves; ``places``: where
            they begin.
        coefficients: ``a``, ``b`` and ``s`` at every place, ``(3, place, width)``.
        full: where gradients of states with all their channels are summed: of the inputs; where channels are partial,
            of the nodes too.
        bypassed: node -> gradient of its sum of bypassed channels.
    """

    def __init__(self, run: GraphTensors, edges: Tensor, grad: Tensor, *, training: bool, need_params: bool):
        self.run, self.edges, self.training, self.need_params = run, edges, training, need_params
        plan = run.plan
        self.grads: dict[int, Tensor] = {}
        self.places = np.zeros(plan.nodes + plan.halves, np.int64)
        self.launches = launches_of(run.description)
        self.coefficients = run.mean.new_empty(3, plan.places, run.width)
        self.gate_grads, self.edge_grads = torch.zeros_like(run.gates), torch.zeros_like(edges)
        self.bias_grads = torch.zeros_like(edges)
        self.full = [torch.zeros_like(x) for x in run.inputs]
        if plan.partial == 1:
            for number, g in enumerate(grad):
                own = g.reshape(run.pixels, run.width).clone(memory_format=torch.contiguous_format)
                self._new_grad(number, own)
        else:
            self.full += list(grad.clone().unbind(0))
        self.bypassed: dict[int, Tensor] = {}
        self.grad_params = [torch.zeros_like(param) for param in run.params] if need_params else []
        self.grad_places = addresses(self.grad_params)

    def gradients(self) -> tuple[list[Tensor], Tensor, Tensor, Tensor, list[Tensor]]:
        """Run the pass; return the gradients of the inputs, the gates (flat), the edges' weights and biases, the
        parameters."""
        plan, run = self.run.plan, self.run
        for source in reversed(plan.sources):
            node = source.state + 1 - plan.inputs
            if node >= 0:
                self._node(node)
            x = run.state(source)
            out = sum_of_gradients(plan, source, x, self.full, self.grads)
            self._pools_and_skips(source, out)
            self._library(source, x, out)
            self._second_halves(source)
            self._first_halves(source, x, out)
            if plan.partial > 1:
                self._bypass(source, out)
        return self.full[: plan.inputs], self.gate_grads, self.edge_grads, self.bias_grads, self.grad_params

    def _node(self, node: int) -> None:
        """Compute the coefficients of a node's terms, and their gates' gradients."""
        run = self.run
        if run.plan.partial > 1:
            mixed, self.bypassed[node] = split_channels(self.full[run.plan.inputs + node], run.width)
            self._new_grad(node, mixed.reshape(run.pixels, run.width).contiguous())
        rows = run.terms(node)
        mean, rstd = run.statistics(rows)
        sums = combine_sums(self.grads[node], [run.term(row) for row in rows], mean, run.size[0])
        g, gz, gates = sums[-1], sums[:-1] * rstd, [row.gate for row in rows]
        self.gate_grads[gates] = gz.sum(1)
        self.bias_grads[run.plan.incoming[node]] = g.sum()
        placed = [index for index, row in enumerate(rows) if row.place >= 0]
        if placed:
            at, pixels = [rows[index].place for index in placed], run.pixels
            normed = run.mean.new_tensor([rows[index].form == NORMALIZED for index in placed])[:, None]
            a, rstd = run.gates[gates][placed][:, None] * rstd[placed], rstd[placed]
            slope = -a * rstd * gz[placed] / pixels * (normed * self.training)
            constant = -a * g / pixels * (normed * self.training) - slope * mean[placed]
            self.coefficients[:, at] = torch.stack([a, slope, constant])

    def _pools_and_skips(self, source: Source, out: Tensor) -> None:
        """Add the gradients through a source's pools and skip connections to ``out``."""
        run = self.run
        flat = out.view(-1, run.width)
        for row in source.state_terms:
            if run.live[row.gate]:
                torch.add(flat, self.grads[row.node], alpha=run.gates[row.gate].item(), out=flat)
        average = source.pool_plane + POOLS.index(AVERAGE)
        terms = [
            PoolTerm(
                int(row.plane == average), run.planes[row.plane], self.grads[row.node], *self.coefficients[:, row.place]
            )
            for row in source.pool_terms
            if run.live[row.gate]
        ]
        if terms:
            pools_backward(terms, run.places[source.state], out, source.stride)

    def _library(self, source: Source, x: Tensor, out: Tensor) -> None:
        """Add the gradients through the operations that the library computes; keep their parameters' gradients."""
        run = self.run
        for conv in source.library:
            live = [run.live[gate] for gate in conv.gates]
            if not any(live):
                continue
            planes, behind = list(conv.planes), list(conv.behind)
            a, b, s = self.coefficients[:, planes, None]
            g, y = (torch.stack([all_[k] for k in own]) for all_, own in ((self.grads, behind), (run.planes, planes)))
            dy = a * g + b * y + s
            dy[[not alive for alive in live]] = 0
            first, last = conv.op.params
            back, weights = library_backward(conv.op, x, run.params[first:last], dy, self.need_params)
            out += back
            self.grad_params[first : first + len(weights)] = weights  # which no launch writes

    def _table(self, launch: Launch) -> Numbers:
        """Return a launch's table of the backward pass, but for the gradients behind second halves' sources."""
        run, at = self.run, launch.target
        table, a, b, s = run.table(launch), *self.coefficients
        fill(table, a=run.row_of(a, at), b=run.row_of(b, at), s=run.row_of(s, at), grad=self.places[launch.behind])
        if self.need_params:
            depthwise, pointwise = run.weights_of(launch, self.grad_places)
            fill(table, depthwise_grad=depthwise, pointwise_grad=pointwise)
        return table

    def _second_halves(self, source: Source) -> None:
        """Compute the gradients behind the first halves' BatchNorms, and the first halves' coefficients."""
        run, launch = self.run, self.launches[source.state][1].live(self.run.live)
        if not len(launch):
            return
        at, first = launch.source, run.plan.nodes - run.plan.finals
        for number in (first + at).tolist():
            self._new_grad(number, run.planes[number - first].new_empty(run.pixels, run.width))
        table, a, b, s = self._table(launch), *self.coefficients
        behind = {"back_a": run.row_of(a, at), "back_b": run.row_of(b, at), "back_s": run.row_of(s, at)}
        fill(table, back=self.places[first + at], **behind)
        convs_backward(run.as_image(run.planes[int(at[0])]), None, table, training=self.training)

    def _first_halves(self, source: Source, x: Tensor, out: Tensor) -> None:
        """Add the gradient of a state through its convolutions to ``out``."""
        launch = self.launches[source.state][0].live(self.run.live)
        if len(launch):
            convs_backward(x, out, self._table(launch), source.stride)

    def _new_grad(self, number: int, grad: Tensor) -> None:
        self.grads[number], self.places[number] = grad, grad.data_ptr()

    def _bypass(self, source: Source, out: Tensor) -> None:
        """Add the gradients of a state's active and bypassed channels to that of the whole state."""
        run, edges = self.run, self.edges
        target, state = self.full[source.state], run.full_state(source)
        target[..., : run.width] += out
        rest = bypass(state, run.width, source.stride)
        total = torch.zeros((), dtype=target.dtype)
        for row, node in edges_of(run.plan, source):
            self.edge_grads[row] = (self.bypassed[node] * rest).sum()
            total = total + edges[row] * self.bypassed[node]
        target[..., run.width :] += bypass_backward(state, total, run.width, source.stride)
