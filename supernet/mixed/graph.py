"""A graph of mixed operations: the part of a supernet that is searched.

On every edge of a directed acyclic graph stands a mixed operation, ``sum_o gate[e, o] * op_o(x)`` (DARTS, equation 2),
and a node is the sum of its incoming edges. All edges that leave one state read the same tensor, so their parameters
are stored together: an operation's weight has a leading axis ``e`` over those edges. How the sum is computed is a
*backend*: ``reference`` states it edge by edge, the others compute the same from the same parameters, faster.

In every backend a candidate whose gate is exactly 0 takes no part: its gate's gradient is 0, its running statistics
do not move, and where the host knows the gates (on a CPU) it is not computed. A single path costs a single path.

What methods add to the sum is linear in what edges deliver, and stated here once for all backends: partial channels
and weights of edges (PC-DARTS, Xu et al. 2020, equation 2 and section 3.3), auxiliary skips (DARTS-, Chu et al. 2021,
equation 5), dropped edges and skips.

Axes: ``e`` edge, ``o`` candidate, ``b`` batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from supernet.mixed.batched import batched
from supernet.mixed.reference import reference
from supernet.mixed.stacked import stack, unstack
from supernet.ops import FactorizedReduce, candidate

if TYPE_CHECKING:
    from supernet.network import DropPath

Backend = Literal["reference", "batched", "fused"]
"""``fused`` computes whole graphs on a GPU; where it cannot (dropped edges, strange candidates), batched stands in."""

SKIP = "skip_connect"

Make = Callable[[str, int, int], nn.Module]
"""(name, channels, stride) -> a candidate as a supernet holds it."""


class MixedSource(nn.Module):
    """The mixed operations on all edges that leave one state.

    ``ops[name]`` is that candidate for all these edges at once: each of its parameters and buffers is stacked over
    the edges, ``(e, ...)``. It is a store of tensors, called through a backend only.

    Attributes:
        channels: width of the candidates.
        rows, targets: of each local edge, its row in the gates and the node it leads to.
        edges: candidate -> the local edges that have it, in the order of its stacked tensors; all, but for candidates
            that are not allowed everywhere. A candidate that no edge has is not there.
        columns: candidate -> its column in the gates.
        skips: auxiliary skips that have weights, stacked over the edges (``add_auxiliary_skips``).
    """

    def __init__(
        self,
        channels: int,
        stride: int,
        candidates: Sequence[str],
        rows: Sequence[int],
        targets: Sequence[int],
        allowed: Sequence[Sequence[str]] | None = None,
        make: Make = candidate,
    ):
        super().__init__()
        self.channels, self.stride = channels, stride
        self.rows, self.targets = tuple(rows), tuple(targets)
        self.columns = {name: column for column, name in enumerate(candidates)}
        having = {name: [e for e, row in enumerate(rows) if not allowed or name in allowed[row]] for name in candidates}
        self.edges = {name: tuple(edges) for name, edges in having.items() if edges}
        self.ops = nn.ModuleDict(
            {name: stack([make(name, channels, stride) for _ in edges]) for name, edges in self.edges.items()}
        )
        self.skips: nn.Module | None = None
        self._indices: dict[tuple[str | None, torch.device], Tensor] = {}

    def index(self, name: str | None, device: torch.device) -> Tensor:
        """The local edges that have a candidate; without a name, all edges' rows. Copied to a device once."""
        if (name, device) not in self._indices:
            self._indices[name, device] = torch.tensor(self.edges[name] if name else self.rows, device=device)
        return self._indices[name, device]

    def auxiliary(self, x: Tensor) -> Sequence[Tensor]:
        """What each edge's auxiliary skip delivers: ``x`` itself, or a convolution of it, reduced at stride 2."""
        if self.skips is None:
            return [x] * len(self.rows)
        return [torch.func.functional_call(self.skips, copy, (x,)) for copy in unstack(self.skips, len(self.rows))]


class MixedGraph(nn.Module):
    """A complete directed acyclic graph: every node has an edge from every state before it.

    Args:
        channels: width of every state.
        candidates: operations on each edge, in the order of the gates' columns.
        inputs: how many states are given.
        nodes: how many are computed.
        stride: of the edges that leave an input; edges between nodes keep the size.
        backend: who computes it.
        allowed: each edge's candidates, where they are not all.
        partial: candidates see the first ``channels / partial`` channels; the others pass by (max-pooled at stride 2),
            and the channels are shuffled.
        make: builds the candidates.

    Edges are numbered node by node, then by source, as the gates' rows are.

    Raises:
        ValueError: where ``partial`` does not divide ``channels``.
    """

    def __init__(
        self,
        channels: int,
        candidates: Sequence[str],
        inputs: int,
        nodes: int,
        stride: int = 1,
        backend: Backend = "batched",
        allowed: Sequence[Sequence[str]] | None = None,
        partial: int = 1,
        make: Make = candidate,
    ):
        super().__init__()
        if channels % partial:
            raise ValueError(f"{channels} channels cannot be split into {partial} equal parts")
        self.inputs, self.nodes, self.candidates = inputs, nodes, tuple(candidates)
        self.backend: Backend = backend
        self.partial, self.width = partial, channels // partial
        edges = [(source, node) for node in range(nodes) for source in range(inputs + node)]
        self.sources = nn.ModuleList()
        for state in range(inputs + nodes - 1):
            leaving = [(row, node) for row, (source, node) in enumerate(edges) if source == state]
            step = stride if state < inputs else 1
            self.sources.append(MixedSource(self.width, step, candidates, *zip(*leaving), allowed, make))

    def forward(
        self,
        states: Sequence[Tensor],
        gates: Tensor,
        edges: Tensor | None = None,
        skip: Tensor | None = None,
        bias: Tensor | None = None,
        drop_path: DropPath | None = None,
    ) -> list[Tensor]:
        """All states, the given ones first.

        Args:
            states: the inputs, each ``(b, c, h, w)``.
            gates: ``(e, o)``.
            edges: weights of whole edges, ``(e,)``; 1 where not given.
            skip: gates of the auxiliary skips, ``(e,)``.
            bias: a number for each edge, added to what it delivers, ``(e,)``.
            drop_path: drops edges, and values of skips.
        """
        states = list(states)
        mixed: list[Tensor | None] = [None] * self.nodes
        passed: list[Tensor | None] = [None] * self.nodes
        gates = gates if edges is None else gates * edges[:, None]
        convolved = skip is not None and any(source.stride == 1 and source.skips for source in self.sources)
        if self.backend == "fused" and drop_path is None and bias is None and not convolved:
            from supernet.fused.graph import fused
            from supernet.fused.plan import describe

            description = describe(self, skip is not None)
            if description is not None:
                return fused(
                    self, description, states, gates, edges, skip if edges is None or skip is None else skip * edges
                )
        for index, source in enumerate(self.sources):
            x = states[index]
            if self.partial > 1:
                x, rest = x[:, : self.width], x[:, self.width :]
                rest = F.max_pool2d(rest, 2, 2, ceil_mode=True) if source.stride == 2 else rest
            rows = source.index(None, gates.device)
            leaving = self._leaving(source, x, gates[rows], drop_path)
            if skip is not None:
                weights = (skip if edges is None else skip * edges)[rows].to(x.dtype)
                leaving = [y + weight * s for y, weight, s in zip(leaving, weights, source.auxiliary(x))]
            if bias is not None:
                leaving = [y + number for y, number in zip(leaving, bias[rows].to(x.dtype))]
            if drop_path is not None and drop_path.drops:
                leaving = [drop_path(y) for y in leaving]
            for row, target, y in zip(source.rows, source.targets, leaving):
                mixed[target] = _plus(mixed[target], y)
                if self.partial > 1:
                    passed[target] = _plus(passed[target], rest if edges is None else edges[row].to(x.dtype) * rest)
            complete = index + 1 - self.inputs
            if complete >= 0:
                states.append(self._joined(mixed[complete], passed[complete]))
        return states

    def _leaving(self, source: MixedSource, x: Tensor, gates: Tensor, drop_path: DropPath | None) -> Sequence[Tensor]:
        mix = BACKENDS.get(self.backend, batched)
        if drop_path is None or not drop_path.drops_skips or source.stride > 1 or SKIP not in source.edges:
            return mix(source, x, gates)
        column = source.columns[SKIP]
        others = torch.arange(gates.shape[1], device=gates.device) != column
        leaving = mix(source, x, gates * others)
        return [y + gate * drop_path.dropout(x) for y, gate in zip(leaving, gates[:, column].to(x.dtype))]

    def _joined(self, mixed: Tensor, passed: Tensor | None) -> Tensor:
        """A node of the sums of both parts of the channels. Shuffling is linear, so it is done once a node."""
        if passed is None:
            return mixed
        return rearrange(torch.cat([mixed, passed.to(mixed.dtype)], 1), "b (k c) h w -> b (c k) h w", k=self.partial)


def add_auxiliary_skips(network: nn.Module, convolution: bool = False) -> None:
    """Give every edge of stride 2 in a network's mixed graphs a factorized reduction of its own (DARTS-, section 3.2).

    At stride 1 an auxiliary skip is the identity and needs none; or, with ``convolution``, a 1x1 convolution that
    begins as it. New values are drawn from PyTorch's generator, after all that was drawn before: the network's other
    weights are those it has without.
    """
    for source in network.modules():
        if isinstance(source, MixedSource) and (source.stride > 1 or convolution):
            make = FactorizedReduce if source.stride > 1 else _identity
            source.skips = stack([make(source.channels, source.channels, False) for _ in source.rows])


def _identity(c_in: int, c_out: int, affine: bool) -> nn.Conv2d:
    """A 1x1 convolution that returns its input."""
    conv = nn.Conv2d(c_in, c_out, 1, bias=False)
    nn.init.dirac_(conv.weight)
    return conv


def _plus(total: Tensor | None, y: Tensor) -> Tensor:
    return y if total is None else total + y


BACKENDS: dict[str, Callable[[MixedSource, Tensor, Tensor], Sequence[Tensor]]] = {
    "reference": reference,
    "batched": batched,
}
"""Backend -> what each edge that leaves a state ``(b, c, h, w)`` delivers, for the gates ``(e, o)`` of these edges."""
