"""A graph of mixed operations: the part of a supernet that is searched.

On every edge of a directed acyclic graph stands a mixed operation, ``sum_o gate[e, o] * op_o(x)`` (DARTS, equation 2),
and a node is the sum of its incoming edges. How the sum is computed is a *backend* (``supernet.mixed.backends``):
``reference`` is the definition, the others compute the same from the same parameters, faster.

In every backend a candidate whose gate is exactly 0 takes no part: its gate's gradient is 0, its running statistics
do not change, and where the host knows the gates (on a CPU) it is not computed. A single path costs a single path.

What methods add to the sum is linear in the edges' outputs, and is defined here once for all backends: partial channels
and edge weights (PC-DARTS, Xu et al. 2020, equation 2 and section 3.3), auxiliary skips (DARTS-, Chu et al. 2021,
equation 5), dropped edges and skips.

Axes: ``e`` edge, ``o`` candidate, ``b`` batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from supernet.mixed.backends import BACKENDS, Backend, check_backend
from supernet.mixed.source import Make, MixedSource
from supernet.mixed.states import States
from supernet.network import DropPath
from supernet.ops import SKIP, candidate


class MixedGraph(nn.Module):
    """A complete directed acyclic graph: every node has an edge from every state before it.

    Args:
        channels: width of every state.
        candidates: operations on each edge, in the order of the gates' columns.
        inputs: number of given states.
        nodes: number of computed states.
        stride: of the edges that leave an input; edges between nodes keep the size.
        backend: computes the mixed operations.
        outputs: how many of the last nodes are read outside of the graph; only these pass gradients on; all, if not
            given.
        allowed: each edge's candidates, where they are not all.
        partial: candidates see the first ``channels / partial`` channels; the others bypass them (max-pooled at
            stride 2), and the channels are shuffled.
        make: builds the candidates.
        label: of the table of its gates.

    Attributes:
        descriptions: what the fused kernels are planned from, kept from one call to the next.

    Edges are numbered node by node, then by source, as the gates' rows are.

    Raises:
        ValueError: where ``partial`` does not divide ``channels``.
        SpaceError: where the backend is unknown.
    """

    def __init__(
        self,
        channels: int,
        candidates: Sequence[str],
        inputs: int,
        nodes: int,
        stride: int = 1,
        backend: Backend = "batched",
        outputs: int | None = None,
        allowed: Sequence[Sequence[str]] | None = None,
        partial: int = 1,
        make: Make = candidate,
        label: str = "",
    ):
        super().__init__()
        check_backend(backend)
        if channels % partial:
            raise ValueError(f"{channels} channels cannot be split into {partial} equal parts")
        self.inputs, self.nodes, self.candidates = inputs, nodes, tuple(candidates)
        self.outputs = nodes if outputs is None else outputs
        self.backend: Backend = backend
        self.label = label
        self.descriptions: dict[object, str | None] = {}
        self.partial, self.width = partial, channels // partial
        edges = [(source, node) for node in range(nodes) for source in range(inputs + node)]
        outgoing = [
            {r: node for r, (source, node) in enumerate(edges) if source == s} for s in range(inputs + nodes - 1)
        ]
        sources = nn.ModuleList(
            MixedSource(
                channels=self.width,
                stride=stride if state < inputs else 1,
                candidates=candidates,
                rows=tuple(targets),
                targets=tuple(targets.values()),
                allowed=allowed,
                make=make,
            )
            for state, targets in enumerate(outgoing)
        )
        self.sources = cast(Sequence[MixedSource], sources)

    def forward(
        self,
        states: Sequence[Tensor],
        gates: Tensor,
        edges: Tensor | None = None,
        skip: Tensor | None = None,
        bias: Tensor | None = None,
        drop_path: DropPath | None = None,
    ) -> States:
        """Return all states, the given ones first.

        Args:
            states: the inputs, each ``(b, c, h, w)``.
            gates: ``(e, o)``.
            edges: edge weights, ``(e,)``; 1 where not given.
            skip: gates of the auxiliary skips, ``(e,)``.
            bias: is added to each edge's output, ``(e,)``.
            drop_path: drops edges, and values of skips.

        Raises:
            SpaceError: where the backend is unknown.
        """
        check_backend(self.backend)
        whole_graph = BACKENDS[self.backend].whole_graph
        gates = gates if edges is None else gates * edges[:, None]
        if whole_graph is not None:
            computed = whole_graph(self, states, gates, edges=edges, skip=skip, bias=bias, drop_path=drop_path)
            if computed is not None:
                return computed
        states = States(states)
        totals: list[Tensor | None] = [None] * self.nodes
        bypassed: list[Tensor | None] = [None] * self.nodes
        for index, source in enumerate(self.sources):
            x, bypass = self._split(states[index], source.stride)
            rows = source.index(None, gates.device)
            outputs = self._edge_outputs(source, x, gates[rows], drop_path)
            if skip is not None:
                weights = (skip if edges is None else skip * edges)[rows].to(x.dtype)
                outputs = [y + weight * s for y, weight, s in zip(outputs, weights, source.auxiliary(x))]
            if bias is not None:
                outputs = [y + number for y, number in zip(outputs, bias[rows].to(x.dtype))]
            if drop_path is not None and drop_path.drops:
                outputs = [drop_path(y) for y in outputs]
            for row, target, y in zip(source.rows, source.targets, outputs):
                totals[target] = _plus(totals[target], y)
                if bypass is not None:
                    weighted = bypass if edges is None else edges[row].to(x.dtype) * bypass
                    bypassed[target] = _plus(bypassed[target], weighted)
            complete = index + 1 - self.inputs
            if complete >= 0:
                states.append(self._merge(totals[complete], bypassed[complete]))
        return states

    def _split(self, x: Tensor, stride: int) -> tuple[Tensor, Tensor | None]:
        """A state's active channels, which the candidates see, and the bypass channels; none where all are active."""
        if self.partial == 1:
            return x, None
        active, bypass = x[:, : self.width], x[:, self.width :]
        return active, F.max_pool2d(bypass, 2, 2, ceil_mode=True) if stride == 2 else bypass

    def _merge(self, active: Tensor | None, bypass: Tensor | None) -> Tensor:
        """A node of both parts of its channels, shuffled. Shuffling is linear, so it is done once for each node."""
        assert active is not None
        if bypass is None:
            return active
        return rearrange(torch.cat([active, bypass.to(active.dtype)], 1), "b (k c) h w -> b (c k) h w", k=self.partial)

    def _edge_outputs(
        self, source: MixedSource, x: Tensor, gates: Tensor, drop_path: DropPath | None
    ) -> Sequence[Tensor]:
        """The outputs of the edges that leave a state, ``(b, c, h, w)``, with values of skip connections dropped."""
        edge_outputs = BACKENDS[self.backend].edge_outputs
        if drop_path is None or not drop_path.drops_skips or source.stride > 1 or SKIP not in source.edges:
            return edge_outputs(source, x, gates)
        column = source.columns[SKIP]
        others = torch.arange(gates.shape[1], device=gates.device) != column
        outputs = edge_outputs(source, x, gates * others)
        return [y + gate * drop_path.dropout(x) for y, gate in zip(outputs, gates[:, column].to(x.dtype))]


def mixed_graphs(network: nn.Module) -> list[MixedGraph]:
    """Return the mixed graphs of a network, in the order of its modules."""
    return [module for module in network.modules() if isinstance(module, MixedGraph)]


def _plus(total: Tensor | None, y: Tensor) -> Tensor:
    return y if total is None else total + y
