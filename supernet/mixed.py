"""A graph of mixed operations: the part of a supernet that is searched.

On every edge of a directed acyclic graph stands a mixed operation, ``sum_o gate[e, o] * op_o(x)`` (DARTS, equation 2),
and a node is the sum of its incoming edges. All edges that leave one state read the same tensor, so their parameters
are stored together: an operation's weight has a leading axis ``e`` over those edges. How the sum is computed is a
*backend*: ``reference`` states it edge by edge, the others compute the same from the same parameters, faster.

Axes: ``e`` edge, ``o`` candidate, ``b`` batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from supernet.batched import batched
from supernet.ops import candidate
from supernet.reference import reference
from supernet.stacked import stack

Backend = Literal["reference", "batched"]


class MixedSource(nn.Module):
    """The mixed operations on all edges that leave one state.

    ``ops[name]`` is that candidate for all these edges at once: each of its parameters and buffers is stacked over
    the edges, ``(e, ...)``. It is a store of tensors, called through a backend only.
    """

    def __init__(
        self, channels: int, stride: int, candidates: Sequence[str], rows: Sequence[int], targets: Sequence[int]
    ):
        super().__init__()
        self.channels, self.stride = channels, stride
        self.rows, self.targets = tuple(rows), tuple(targets)
        self.ops = nn.ModuleDict(
            {name: stack([candidate(name, channels, stride) for _ in rows]) for name in candidates}
        )


class MixedGraph(nn.Module):
    """A complete directed acyclic graph: every node has an edge from every state before it.

    Args:
        channels: width of every state.
        candidates: operations on each edge, in the order of the gates' columns.
        inputs: how many states are given.
        nodes: how many are computed.
        stride: of the edges that leave an input; edges between nodes keep the size.
        backend: who computes it.

    Edges are numbered node by node, then by source, as the gates' rows are.
    """

    def __init__(
        self,
        channels: int,
        candidates: Sequence[str],
        inputs: int,
        nodes: int,
        stride: int = 1,
        backend: Backend = "batched",
    ):
        super().__init__()
        self.inputs, self.nodes, self.candidates = inputs, nodes, tuple(candidates)
        self.backend: Backend = backend
        edges = [(source, node) for node in range(nodes) for source in range(inputs + node)]
        self.sources = nn.ModuleList()
        for state in range(inputs + nodes - 1):
            leaving = [(row, node) for row, (source, node) in enumerate(edges) if source == state]
            rows, targets = zip(*leaving)
            self.sources.append(MixedSource(channels, stride if state < inputs else 1, candidates, rows, targets))

    def forward(self, states: Sequence[Tensor], gates: Tensor) -> list[Tensor]:
        """All states, the given ones first.

        Args:
            states: the inputs, each ``(b, c, h, w)``.
            gates: ``(e, o)``.
        """
        return BACKENDS[self.backend](self, states, gates)


BACKENDS: dict[str, Callable[[MixedGraph, Sequence[Tensor], Tensor], list[Tensor]]] = {
    "reference": reference,
    "batched": batched,
}
