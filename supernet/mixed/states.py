"""The states of a mixed graph.

Axes: ``b`` batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class States(list[Tensor]):
    """All states of a graph, the inputs first, each ``(b, c, h, w)``.

    Args:
        states: these.
        beside: the last ones with their channels side by side in memory, ``(b, n c, h, w)``, where some are.
    """

    def __init__(self, states: Iterable[Tensor], beside: Tensor | None = None):
        super().__init__(states)
        self.beside = beside

    def concatenated(self, last: int) -> Tensor:
        """Return the last states with their channels side by side, ``(b, last c, h, w)``."""
        parts = self[-last:]
        if self.beside is not None and self.beside.shape[1] == sum(part.shape[1] for part in parts):
            return self.beside
        return torch.cat(parts, 1)
