"""What a search decides, as data: tables of choices, and the gates that weigh them.

A table holds several decisions of one shape. Its *gates* are one tensor of shape ``(e, o)``: one row for each decision
(in a cell: each edge), one column for each candidate. Networks take gates as an argument; they hold none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

Gates = Mapping[str, Tensor]
"""Table label -> gates, ``(e, o)``; and what a method adds, ``(e,)``, under the label's ``edges_of``, ``skip_of`` and
``bias_of``."""

Picks = Mapping[str, tuple[tuple[int, str], ...]]
"""Table label -> the (row, candidate) pairs that a discretization kept, in its order of preference."""


@dataclass(frozen=True)
class ChoiceTable:
    """Decisions that share their candidates.

    Attributes:
        label: names the table in gates, logits and picks.
        candidates: names, in the order of the gates' columns.
        groups: how many consecutive rows compete for each place; in a cell, the incoming edges of each node.
        allowed: each row's candidates, where they are not all; gates of the others are exactly 0.
        keep: how many rows of each group are derived, ``None`` for all.
        dropped: candidates that take part in the relaxation but are not derived (DARTS, section 2.4).
        picks: how many candidates are derived on a row.
        judged: whether a collapse shows in it: too many skip connections.
        required: whether a discretization must decide every row or group, by what is not in ``dropped``.
        when: the table takes part in an architecture only where one of these alternatives holds: each a conjunction of
            (table label, candidate) pairs that are all kept. Empty: it always takes part.
        all_outputs: of rows that are the edges of a directed acyclic graph, whether the graph's output is made of every
            node; else it is the last node alone.
    """

    label: str
    candidates: tuple[str, ...]
    groups: tuple[int, ...]
    allowed: tuple[tuple[str, ...], ...] | None = None
    keep: int | None = 2
    dropped: tuple[str, ...] = ("none",)
    picks: int = 1
    judged: bool = True
    required: bool = False
    when: tuple[tuple[tuple[str, str], ...], ...] = ()
    all_outputs: bool = True
    _masks: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def rows(self) -> int:
        return sum(self.groups)

    @property
    def spans(self) -> tuple[range, ...]:
        """The rows of each group."""
        ends = list(accumulate(self.groups))
        return tuple(range(end - size, end) for end, size in zip(ends, self.groups))

    def kept(self, size: int) -> int:
        """How many rows of a group of this size are derived."""
        return size if self.keep is None else min(self.keep, size)

    def permits(self, row: int, candidate: str) -> bool:
        return self.allowed is None or candidate in self.allowed[row]

    @property
    def mask(self) -> Tensor:
        """Which candidates are allowed, ``(e, o)``, bool."""
        return self.mask_on(torch.device("cpu"))

    def mask_on(self, device: torch.device) -> Tensor:
        """The mask on a device. It is copied there once: a copy waits for all that the device has to do."""
        if device not in self._masks:
            rows = [[self.permits(row, name) for name in self.candidates] for row in range(self.rows)]
            self._masks[device] = torch.tensor(rows, device=device)
        return self._masks[device]


def edges_of(label: str) -> str:
    """Where gates hold the weights of a table's edges, ``(e,)``, which multiply all that an edge delivers."""
    return f"{label}.edges"


def bias_of(label: str) -> str:
    """Where gates hold numbers that are added to what a table's edges deliver, ``(e,)``."""
    return f"{label}.bias"


def skip_of(label: str) -> str:
    """Where gates hold the weights of a table's auxiliary skip connections, ``(e,)``."""
    return f"{label}.skip"
