"""The forward pass of a mixed graph on a CPU, source by source.

For each state: its convolutions and pools with their statistics, then the node that is complete by then. The host
knows the gates, and leaves out what is multiplied by 0.

Axes: ``b`` batch, ``h w`` space, ``c`` channel, ``m`` pixel of the batch, ``e`` edge, ``o`` candidate; images are
channels-last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from supernet.fused.cpu.functions import combine_forward, convs_forward, pools_forward
from supernet.fused.cpu.launches import addresses, fill, launches_of
from supernet.fused.cpu.tensors import GraphTensors
from supernet.fused.graph.description import POOLS
from supernet.fused.graph.library_convs import library_forward
from supernet.fused.graph.norms import norms_of
from supernet.fused.graph.partial_channels import bypass, merge_channels
from supernet.fused.graph.plan import Op, Source, edges_of
from supernet.ops import BatchNorm


class Forward:
    """One forward pass. ``run`` holds what it writes and the backward pass reads.

    Args:
        run: the tensors of the call.
        edges: weights of the channels that bypass the candidates, ``(e,)``, where channels are partial.
        bias: is added to each edge's output, ``(e,)``.
        buffers: running statistics of all operations, stacked, in the plan's order; in training they are updated.
        training: whether BatchNorm uses the batch's statistics.
        keep: whether planes are kept that only the backward pass reads again.
    """

    def __init__(
        self, run: GraphTensors, edges: Tensor, bias: Tensor, buffers: Sequence[Tensor], *, training: bool, keep: bool
    ):
        self.run, self.edges, self.bias, self.buffers = run, edges, bias, buffers
        self.training, self.keep = training, keep
        self.launches, self.buffer_places = launches_of(run.description), addresses(buffers)
        self.bypassed: list[Tensor | None] = [None] * run.plan.nodes

    def nodes(self) -> Tensor:
        """Run the pass; return the nodes, ``(node, b, h, w, c)``."""
        run, plan = self.run, self.run.plan
        if not self.training:
            self._use_running_statistics()
        for source in plan.sources:
            x = run.state(source)
            self._pools(source, x)
            for half in (0, 1):
                self._convs(source, x, half)
            self._library(source, x)
            if plan.partial > 1:
                self._bypass(source)
            node = source.state + 1 - plan.inputs
            if node >= 0:
                self._node(node)
        return run.nodes

    def _use_running_statistics(self) -> None:
        run = self.run
        for source in run.plan.sources:
            for norm in norms_of(source, self.buffers):
                places, slots = list(norm.places), list(norm.slots)
                run.mean[places] = norm.running_mean[slots]
                run.rstd[places] = (norm.running_var[slots] + BatchNorm.eps).rsqrt()

    def _keep(self, rows: Sequence[tuple[int, int]], op: Op, found: Sequence[Tensor]) -> None:
        """Write mean, 1 / std and unbiased variance of an operation's planes, and move its running statistics.

        Args:
            rows: place and slot of each plane.
            found: the statistics, ``(r, c)`` each, or ``(c,)`` where all planes share them.
        """
        run = self.run
        places, slots = (list(numbers) for numbers in zip(*rows))
        for kept, values in zip((run.mean, run.rstd, run.variance), found):
            kept[places] = values
        first, last = op.buffers
        for running, values in zip(self.buffers[first:last], found[::2]):
            running[slots] = running[slots].lerp(values, BatchNorm.momentum)

    def _pools(self, source: Source, x: Tensor) -> None:
        run = self.run
        wanted = {}
        for number, op in enumerate(source.pools):
            rows = [(row.target, row.slot) for row in source.pool_rows if row.kind == number and run.live[row.gate]]
            if rows:
                wanted[op] = rows
        if not wanted:
            return
        kinds = {op.kind for op in wanted}
        maxima, averages = (
            run.new_plane(source.pool_plane + number) if kind in kinds else None for number, kind in enumerate(POOLS)
        )
        statistics = run.mean.new_empty(2, 3, run.width) if self.training else None
        pools_forward(x, maxima, averages, run.places[source.state], statistics, source.stride)
        if statistics is not None:
            for op, rows in wanted.items():
                if op.normed:
                    self._keep(rows, op, statistics[POOLS.index(op.kind)].unbind(0))

    def _convs(self, source: Source, x: Tensor, half: int) -> None:
        run, launch = self.run, self.launches[source.state][half].live(self.run.live)
        if not len(launch):
            return
        for number in launch.target.tolist():
            run.new_plane(number)
        table = run.table(launch)
        if self.training:
            at, running = launch.target, launch.slot * run.row_size
            fill(
                table,
                mean=run.row_of(run.mean, at),
                rstd=run.row_of(run.rstd, at),
                variance=run.row_of(run.variance, at),
                running_mean=self.buffer_places[launch.buffers] + running,
                running_var=self.buffer_places[launch.buffers + 1] + running,
            )
        if half:
            convs_forward(run.as_image(run.planes[int(launch.source[0])]), table)
            self._release(launch.source.tolist())
        else:
            convs_forward(x, table, source.stride)

    def _library(self, source: Source, x: Tensor) -> None:
        run = self.run
        for conv in source.library:
            live = [slot for slot, gate in enumerate(conv.gates) if run.live[gate]]
            if not live:
                continue
            y = library_forward(conv.op, x, run.params[slice(*conv.op.params)])
            run.planes |= zip(conv.planes, y.contiguous())
            if self.training:
                variance, mean = torch.var_mean(y[live], 1, correction=0)
                unbiased = variance * (run.pixels / max(run.pixels - 1, 1))
                rows = [(conv.planes[slot], slot) for slot in live]
                self._keep(rows, conv.op, (mean, (variance + BatchNorm.eps).rsqrt(), unbiased))

    def _bypass(self, source: Source) -> None:
        run = self.run
        rest = bypass(run.full_state(source), run.width, source.stride)
        for row, node in edges_of(run.plan, source):
            part, before = self.edges[row].to(rest.dtype) * rest, self.bypassed[node]
            self.bypassed[node] = part if before is None else before + part

    def _node(self, node: int) -> None:
        run = self.run
        rows = run.terms(node)
        gates = run.gates[[row.gate for row in rows]][:, None]
        mean, rstd = run.statistics(rows)
        scales = gates * rstd
        shift = self.bias[run.plan.incoming[node]].sum() - (scales * mean).sum(0)
        combine_forward(run.states[node], [run.term(row) for row in rows], scales, shift)
        self._release(row.plane for row in rows if 0 <= row.plane < run.plan.finals)
        passed = self.bypassed[node]
        if passed is not None:
            run.nodes[node] = merge_channels(run.states[node].view(*run.size, -1), passed)
            run.states[node] = run.nodes[node].view(run.pixels, -1)[:, : run.width]

    def _release(self, planes: Iterable[int]) -> None:
        """Free planes that this pass reads no more."""
        if not self.keep:
            for number in planes:
                del self.run.planes[number]
