"""Active edges of a candidate: those that have it and, where this is known, whose gate is not 0.

Axes: ``e`` edge, ``o`` candidate, ``c`` channel.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from supernet.mixed.source import MixedSource
from supernet.ops import BatchNorm


class ActiveEdges(NamedTuple):
    """The edges on which a candidate is computed.

    Attributes:
        edges: which of the source's edges.
        slices: which slices of the candidate's stacked tensors.
        edge_index, slice_index: the same as indices; ``None`` for all.
        gate: ``(e,)``.
        momentum: of the running statistics, ``(e, 1)`` or a number.
    """

    edges: tuple[int, ...]
    slices: tuple[int, ...]
    edge_index: Tensor | None
    slice_index: Tensor | None
    gate: Tensor
    momentum: Tensor | float

    def of(self, stacked: Tensor) -> Tensor:
        """Return the active slices of a stacked tensor."""
        return stacked if self.slice_index is None else stacked[self.slice_index]

    @property
    def number(self) -> int:
        """How many edges are active."""
        return len(self.gate)


def active_edges(source: MixedSource, name: str, gates: Tensor, live: list[list[bool]] | None) -> ActiveEdges | None:
    """Return the edges on which a candidate is computed, or ``None`` where there are none.

    Args:
        source: has the candidate.
        name: of the candidate.
        gates: of the edges that leave the source, ``(e, o)``.
        live: which gates are not 0. Where that is not known, all edges that have the candidate are computed, and the
            running statistics of those whose gate is 0 get a momentum of 0.
    """
    column, having = source.columns[name], source.edges[name]
    slices = tuple(k for k, edge in enumerate(having) if live is None or live[edge][column])
    if not slices:
        return None
    edges = tuple(having[k] for k in slices)
    edge_index = None
    if len(edges) < len(gates):
        edge_index = torch.tensor(edges) if live else source.index(name, gates.device)
    gate = gates[:, column] if edge_index is None else gates[edge_index, column]
    momentum = BatchNorm.momentum if live else BatchNorm.momentum * (gate.detach() != 0)[:, None].to(gate.dtype)
    slice_index = None if len(slices) == len(having) else torch.tensor(slices)
    return ActiveEdges(edges, slices, edge_index, slice_index, gate=gate, momentum=momentum)


class RunningStats(NamedTuple):
    """The running statistics of a stacked BatchNorm, ``(e, c)``, and its active edges."""

    active: ActiveEdges
    norm: BatchNorm

    def update(self, mean: Tensor, var: Tensor) -> None:
        """Move the active edges' running statistics towards those of a batch, each ``(e, c)``."""
        active = self.active
        for running, new in ((self.norm.running_mean, mean), (self.norm.running_var, var)):
            if active.slice_index is None:
                running.lerp_(new, active.momentum)
            else:
                running[active.slice_index] = active.of(running).lerp(new, active.momentum)
