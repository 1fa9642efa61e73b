"""The tensors of one pass over a mixed graph on a CPU, found by its plan.

Axes: ``b`` batch, ``h w`` space, ``c`` channel, ``m`` pixel of the batch, ``r`` row; images are channels-last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from supernet.fused.cpu.functions import address
from supernet.fused.cpu.launches import Launch, Numbers, addresses, empty_table, fill
from supernet.fused.graph.partial_channels import active_channels
from supernet.fused.graph.plan import Source, plan_of
from supernet.fused.rows import NORMALIZED, STATE, TermRow


class GraphTensors:
    """Inputs, gates and parameters of one call, what its forward pass writes and its backward pass reads.

    Attributes:
        gates: flattened; ``live`` says which are not 0.
        size: batch, rows and columns of a node; ``pixels`` is their product.
        width: number of channels that the candidates see.
        nodes: ``(node, b, h, w, c)``; ``states``: their active channels, ``(node, m, width)``.
        planes: number -> ``(m, width)``, of those that are computed; ``plane_places``, ``param_places`` say where
            planes and parameters begin.
        mean, rstd, variance: of the planes, ``(place + 1, width)``; the last row of the first two, 0 and 1, is that of
            what is not normalized; the variance is unbiased, and written in training only.
        places: the tap of each maximum, ``(source, m, width)``.
    """

    def __init__(self, description: str, inputs: Sequence[Tensor], gates: Tensor, params: Sequence[Tensor]):
        self.description, self.plan = description, (plan := plan_of(description))
        self.inputs, self.params, self.gates = inputs, params, gates.flatten()
        self.live = (self.gates != 0).numpy()
        b, h, w, channels = inputs[0].shape
        self.width = channels // plan.partial
        self.size = b, -(-h // plan.stride), -(-w // plan.stride)
        self.pixels = b * self.size[1] * self.size[2]
        self.active = [active_channels(x, self.width) for x in inputs]
        self.planes: dict[int, Tensor] = {}
        self.plane_places = np.zeros(plan.planes, np.int64)
        self.param_places = addresses(params)

    def allocate(self) -> None:
        """Allocate what the forward pass writes, but for the planes (``new_plane``)."""
        plan, like, plane = self.plan, self.inputs[0], (self.pixels, self.width)
        pooled = len(plan.sources) if any(source.pools for source in plan.sources) else 0
        self.nodes = like.new_empty(plan.nodes, *self.size, like.shape[-1])
        self.mean, self.rstd, self.variance = like.new_zeros(3, plan.places + 1, plane[1]).unbind(0)
        self.rstd[-1] = 1
        self.places = like.new_empty(pooled, *plane, dtype=torch.uint8)
        self.states = self.nodes.view(-1, *plane) if plan.partial == 1 else like.new_empty(plan.nodes, *plane)

    def new_plane(self, number: int) -> Tensor:
        """Allocate a plane. Each has memory of its own: one of all of them would be so large that the C library maps
        its pages anew in every pass, which takes longer than to compute it."""
        self.planes[number] = plane = self.inputs[0].new_empty(self.pixels, self.width)
        self.plane_places[number] = plane.data_ptr()
        return plane

    def kept(self) -> list[Tensor]:
        """Return what the forward pass wrote and the backward pass reads; ``restore`` takes it."""
        states = [] if self.plan.partial == 1 else [self.states]  # else a part of the nodes
        return [self.nodes, self.mean, self.rstd, self.places, *states, *self.planes.values()]

    def restore(self, kept: Sequence[Tensor], numbers: Sequence[int]) -> None:
        """Take what a forward pass has kept, with the numbers of its planes."""
        self.nodes, self.mean, self.rstd, self.places, *rest = kept
        split = self.plan.partial > 1
        self.states = rest[0] if split else self.nodes.view(-1, self.pixels, self.width)
        self.planes = dict(zip(numbers, rest[int(split) :]))
        self.plane_places[list(numbers)] = addresses(list(self.planes.values()))

    def state(self, source: Source) -> Tensor:
        """Return the channels that candidates see of a source's state, ``(b, h, w, width)``."""
        number = source.state - self.plan.inputs
        return self.active[source.state] if number < 0 else self.states[number].view(*self.size, self.width)

    def full_state(self, source: Source) -> Tensor:
        """Return a source's state with all its channels, ``(b, h, w, c)``."""
        given = self.plan.inputs
        return self.inputs[source.state] if source.state < given else self.nodes[source.state - given]

    def as_image(self, plane: Tensor | None) -> Tensor:
        """Return a plane as an image, ``(b, h, w, width)``."""
        assert plane is not None
        return plane.view(*self.size, self.width)

    def terms(self, node: int) -> list[TermRow]:
        """Return the terms of a node whose gate is not 0."""
        own = self.plan.node_terms[node]
        return [row for row in self.plan.terms[own.start : own.stop] if self.live[row.gate]]

    def term(self, row: TermRow) -> Tensor:
        """Return a term before its BatchNorm and gate, ``(m, width)``."""
        if row.form != STATE:
            return self.planes[row.plane]
        return self.states[row.state] if row.state >= 0 else self.active[-1 - row.state].view(self.pixels, -1)

    def statistics(self, rows: Sequence[TermRow]) -> tuple[Tensor, Tensor]:
        """Return mean and 1 / std of the terms, ``(r, width)`` each."""
        places = [row.place if row.form == NORMALIZED else -1 for row in rows]
        return self.mean[places], self.rstd[places]

    def table(self, launch: Launch) -> Numbers:
        """Return a launch's table with what is the same in both passes: kernels, weights, and where planes are."""
        row, (depthwise, pointwise) = empty_table(len(launch)), self.weights_of(launch, self.param_places)
        fill(
            row,
            side=launch.side,
            dilation=launch.dilation,
            depthwise=depthwise,
            pointwise=pointwise,
            plane=self.plane_places[launch.target],
        )
        if len(launch) and launch.source[0] >= 0:
            at = launch.source
            source = self.plane_places[at]
            fill(row, source=source, source_mean=self.row_of(self.mean, at), source_rstd=self.row_of(self.rstd, at))
        return row

    def weights_of(self, launch: Launch, places: Numbers) -> tuple[Numbers, Numbers]:
        """Return where depthwise and pointwise weights begin, or their gradients; ``places``: those of parameters."""
        first, second, size = places[launch.params], places[launch.params + 1], self.row_size
        return first + launch.slot * launch.side**2 * size, second + launch.slot * self.width * size

    @property
    def row_size(self) -> int:
        """Bytes of a row of channels."""
        return self.width * self.mean.element_size()

    def row_of(self, statistics: Tensor, places: Numbers) -> Numbers:
        """Return where rows of ``(place, width)`` begin."""
        return address(statistics) + places * self.row_size
