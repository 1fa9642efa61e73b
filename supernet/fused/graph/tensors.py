"""The tensors of one pass over a mixed graph, found by its plan.

Axes: ``b`` batch, ``h w`` space, ``c`` channel, ``m`` pixel of the batch; images are channels-last.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from supernet.fused.combine import Terms
from supernet.fused.cuda import convs as cuda
from supernet.fused.cuda import library, nodes
from supernet.fused.cuda import shared as cuda_shared
from supernet.fused.dense import Kinds, dense_weights
from supernet.fused.graph.description import FACTORIZED
from supernet.fused.graph.partial_channels import active_channels
from supernet.fused.graph.plan import Convs, Plan, Source, plan_of
from supernet.fused.launch import ceil_div, on_device, sum_type
from supernet.fused.rows import ConvRow
from supernet.fused.tables import Rows, table_of


class GraphTensors:
    """Inputs, gates and parameters of one call.

    Attributes:
        plan: of the graph, as the kernels that compute its convolutions take it.
        gates: flattened.
        size: batch, rows and columns of a node; ``pixels`` is their product.
        width: number of channels that the candidates see.
        active: those channels of each input, ``(b, h, w, width)``; ``flat_inputs`` the same as ``(m, width)``, where
            the graph keeps the inputs' size.
        by_cuda, nodes_by_cuda, pools_by_cuda: whether CUDA kernels compute the convolutions, the nodes, and gradients
            through pools, instead of Triton's.
        stored: number of the planes that are stored. Those behind are pools, which CUDA kernels form from their states.
    """

    def __init__(self, description: str, inputs: Sequence[Tensor], gates: Tensor, params: Sequence[Tensor]):
        self.plan = plan = plan_of(description, cuda.MAX_KINDS_AT_ONCE, cuda.MAX_STATES)
        self.inputs, self.params, self.gates = inputs, params, gates.flatten()
        b, h, w, self.channels = inputs[0].shape
        self.width = self.channels // plan.partial
        self.size = b, ceil_div(h, plan.stride), ceil_div(w, plan.stride)
        self.pixels = b * self.size[1] * self.size[2]
        self.active = [active_channels(x, self.width) for x in inputs]
        flat = [x.reshape(self.pixels, self.width) for x in self.active] if plan.stride == 1 else []
        self.flat_inputs = tuple(flat)
        shared = library.shared_bytes(inputs[0].device)
        terms = max(map(len, plan.node_terms))
        self.nodes_by_cuda = nodes.fits(self.width, inputs[0].dtype, plan.inputs, terms, shared)
        self.pools_by_cuda = self.nodes_by_cuda and self._pools_by_cuda(shared)
        self.by_cuda = shared > 0 and self._by_cuda(shared)
        if not self.by_cuda:
            self.plan = plan_of(description)
        edges = Counter(row.node for source in self.plan.sources for row in source.shared)
        most = max(edges.values(), default=0), terms, shared
        self.stored = self.plan.planes
        if self.pools_by_cuda and nodes.forms_pools((self.size[1], self.size[2]), self.width, *most):
            whole = (source.pool_plane for source in self.plan.sources if source.stride == 1)
            self.stored = next(whole, self.stored)

    def _by_cuda(self, shared: int) -> bool:
        """Return whether the CUDA kernels compute the convolutions."""
        x = self.active[0]
        kinds = [self.kinds(convs, half) for _, half, convs in launches_of(self.plan)]
        return cuda.fits(self.width, x.dtype, x.shape[1:3], self.plan.stride, kinds, shared)

    def _pools_by_cuda(self, shared: int) -> bool:
        """Return whether a CUDA kernel computes the gradients of states through their pools."""
        edges = max(len(source.shared) for source in self.plan.sources)
        strides = {self.active[0].shape[1:3]: self.plan.stride} | {self.size[1:]: 1}
        return all(cuda_shared.fits(size, stride, edges, shared) for size, stride in strides.items())

    def table(self, rows: Rows) -> Tensor:
        """Return rows as a table on the gates' device."""
        return table_of(rows, self.gates.device)

    def terms(self, node: int, states: Tensor, planes: Tensor, mean: Tensor, rstd: Tensor) -> Terms:
        """Return the terms of a node; ``states`` are the active channels of the computed ones, ``(node, m, width)``."""
        plan, rows, groups = self.plan, self.plan.node_terms[node], None
        if self.nodes_by_cuda:
            groups = nodes.groups_of(plan.terms, rows, self.stored, (self.size[1], self.size[2]), self.gates.device)
        given = self.flat_inputs, states, planes, mean, rstd, self.table(plan.terms), self.gates
        return Terms(*given, rows, groups)

    def state(self, source: Source, nodes: Tensor) -> Tensor:
        """Return the channels that candidates see of a source's state, ``(b, h, w, width)``.

        Args:
            nodes: these channels of the computed states, ``(node, m, width)``.
        """
        given = self.plan.inputs
        return self.active[source.state] if source.state < given else nodes[source.state - given].view(*self.size, -1)

    def read_by(self, source: Source, nodes: Tensor) -> list[Tensor]:
        """Return the states that a source's first halves read; ``nodes`` as of ``state``."""
        return [self.state(self.plan.sources[number], nodes) for number in source.reads]

    def full_state(self, source: Source, nodes: Tensor) -> Tensor:
        """Return a source's state with all its channels; ``nodes`` is ``(node, b, h, w, c)``."""
        given = self.plan.inputs
        return self.inputs[source.state] if source.state < given else nodes[source.state - given]

    def kinds(self, convs: Convs, half: int) -> Kinds:
        """Return the weights of a launch: the first or second halves of its convolutions."""
        pairs = [self.params[op.params[0] + 2 * half : op.params[0] + 2 * half + 2] for op in convs.ops]
        depthwise, pointwise = zip(*pairs)
        sides, dilations = zip(*((op.side, op.dilation) for op in convs.ops))
        factorized = tuple(kind for kind, op in enumerate(convs.ops) if op.kind == FACTORIZED)
        return Kinds(sides, dilations, depthwise, pointwise, factorized)


def launches_of(plan: Plan) -> list[tuple[int, int, Convs]]:
    """Return (state, half, convolutions) of each launch of convolutions of a graph."""
    return [
        (source.state, half, convs)
        for source in plan.sources
        for half, convs in enumerate((source.first, source.second))
        if convs.rows
    ]


def dense_by_launch(run: GraphTensors, *, backward: bool = False) -> dict[tuple[int, int], Tensor]:
    """Return (state, half) -> the dense weights of its launch; one launch computes all of a graph.

    Their layout is that of ``supernet.fused.dense.dense_weights``, or where CUDA kernels compute the convolutions, of
    ``supernet.fused.cuda.convs.dense_weights``.

    Args:
        backward: whether gradients are multiplied.
    """
    launches = launches_of(run.plan)
    if not launches:
        return {}
    rows: list[ConvRow] = []
    kinds: list[Kinds] = []
    factorized: list[int] = []
    for _, half, convs in launches:
        before = sum(len(own.sides) for own in kinds)
        rows += [row._replace(kind=before + row.kind) for row in convs.rows]
        kinds.append(run.kinds(convs, half))
        factorized += [before + kind for kind in kinds[-1].factorized]
    fields = zip(*((own.sides, own.dilations, own.depthwise, own.pointwise) for own in kinds))
    sides, dilations, depthwise, pointwise = (tuple(itertools.chain.from_iterable(parts)) for parts in fields)
    together = Kinds(sides, dilations, depthwise, pointwise, tuple(factorized))
    if run.by_cuda:
        found = cuda.dense_weights(rows, together, run.inputs[0], transposed=backward)
    else:
        found = dense_weights(rows, together, run.inputs[0])
    parts = found.split([len(convs.rows) for *_, convs in launches])
    return {(state, half): own for (state, half, _), own in zip(launches, parts)}


def index_of(places: Sequence[int], device: torch.device) -> Tensor:
    """Return indices as a tensor on the device."""
    return on_device(tuple(places), device, torch.int64)


def allocate(run: GraphTensors) -> tuple[Tensor, ...]:
    """Return uninitialized results, nodes, planes, mean, 1 / std, positions of maxima and unbiased variances.

    The results are the outputs with their channels side by side, ``(b, h, w, output c)``. The nodes that edges leave,
    or where channels are partial all of them, are kept one by one, ``(node, b, h, w, c)``.
    """
    plan, like = run.plan, run.inputs[0]
    results = like.new_empty(*run.size, plan.outputs * run.channels)
    kept = plan.nodes if plan.partial > 1 else len(plan.sources) - plan.inputs
    nodes = like.new_empty(kept, *run.size, run.channels)
    planes = like.new_empty(run.stored, run.pixels, run.width)
    mean, rstd, variances = (planes.new_empty(plan.places, run.width, dtype=sum_type(like.dtype)) for _ in range(3))
    pooled = len(plan.sources) if any(source.pools for source in plan.sources) else 0
    places = planes.new_empty(pooled, run.pixels, run.width, dtype=torch.uint8)
    return results, nodes, planes, mean, rstd, places, variances
