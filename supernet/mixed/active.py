"""Which edges a candidate is computed on: those that have it, and, where that is known, whose gate is not 0.

Axes: ``e`` edge, ``o`` candidate, ``c`` channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from supernet.ops import BatchNorm

if TYPE_CHECKING:
    from supernet.mixed.graph import MixedSource


class ActiveEdges(NamedTuple):
    """The edges on which a candidate is computed.

    ``edges``: which of the source's; ``parts``: which of the candidate's stack. ``at`` and ``slices`` are the same as
    indices, ``None`` for all. ``gate`` is ``(e,)``; ``momentum``, of the running statistics, ``(e, 1)`` or a number.
    """

    edges: tuple[int, ...]
    parts: tuple[int, ...]
    at: Tensor | None
    slices: Tensor | None
    gate: Tensor
    momentum: Tensor | float

    def of(self, stacked: Tensor) -> Tensor:
        """Their slices of a stacked tensor."""
        return stacked if self.slices is None else stacked[self.slices]

    @property
    def count(self) -> int:
        return len(self.gate)


def active_edges(source: MixedSource, name: str, gates: Tensor, live: list[list[bool]] | None) -> ActiveEdges | None:
    """The edges on which a candidate is computed, or ``None`` where there are none.

    Args:
        gates: of the edges that leave the source, ``(e, o)``.
        live: which gates are not 0; where that is not known, all edges that have the candidate are computed, and the
            running statistics of those whose gate is 0 get a momentum of 0.
    """
    column, having = source.columns[name], source.edges[name]
    parts = tuple(k for k, edge in enumerate(having) if live is None or live[edge][column])
    if not parts:
        return None
    edges = tuple(having[k] for k in parts)
    at = None
    if len(edges) < len(gates):
        at = torch.tensor(edges) if live else source.index(name, gates.device)
    gate = gates[:, column] if at is None else gates[at, column]
    momentum = BatchNorm.momentum if live else BatchNorm.momentum * (gate.detach() != 0)[:, None].to(gate.dtype)
    slices = None if len(parts) == len(having) else torch.tensor(parts)
    return ActiveEdges(edges, parts, at, slices, gate, momentum)


class RunningStats(NamedTuple):
    """The running statistics of a BatchNorm, ``(e, c)``, of which some edges are in use."""

    used: ActiveEdges
    norm: BatchNorm

    def move(self, mean: Tensor, var: Tensor) -> None:
        """Towards the statistics of a batch, each ``(e, c)``."""
        used = self.used
        for running, new in ((self.norm.running_mean, mean), (self.norm.running_var, var)):
            if used.slices is None:
                running.lerp_(new, used.momentum)
            else:
                running[used.slices] = used.of(running).lerp(new, used.momentum)
