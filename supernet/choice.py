"""The decisions of a search as data: tables of choices, and the gates that weigh them.

A table holds several decisions among the same candidates. Its *gates* are one tensor of shape ``(e, o)``: one row for
each decision (in a cell: each edge), one column for each candidate. Networks take gates as an argument and store none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

Gates = Mapping[str, Tensor]
"""Table label -> gates, ``(e, o)``. Keys made by ``edges_of``, ``skip_of`` and ``bias_of`` hold what methods add,
``(e,)``."""

Picks = Mapping[str, tuple[tuple[int, str], ...]]
"""Table label -> the (row, candidate) pairs that a discretization kept, in its order of preference."""


@dataclass(frozen=True)
class ChoiceTable:
    """Decisions that share their candidates.

    Attributes:
        label: names the table in gates, logits and picks.
        candidates: names, in the order of the gates' columns.
        groups: sizes of the groups of consecutive rows that compete; in a cell, the incoming edges of each node.
        allowed: each row's candidates, where they are not all; the gates of others are exactly 0.
        keep: number of rows of each group that are derived, ``None`` for all.
        dropped: candidates that take part in the relaxation but are not derived (DARTS, section 2.4).
        picks: number of candidates that are derived on a row.
        watched_for_collapse: whether too many skip connections in it are a sign that the search collapses.
        required: whether a discretization must decide every row or group, by a candidate that is not in ``dropped``.
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
    watched_for_collapse: bool = True
    required: bool = False
    when: tuple[tuple[tuple[str, str], ...], ...] = ()
    all_outputs: bool = True

    @property
    def rows(self) -> int:
        """Number of decisions."""
        return sum(self.groups)

    @property
    def spans(self) -> tuple[range, ...]:
        """The rows of each group."""
        ends = list(accumulate(self.groups))
        return tuple(range(end - size, end) for end, size in zip(ends, self.groups))

    def kept(self, size: int) -> int:
        """Return how many rows of a group of this size are derived."""
        return size if self.keep is None else min(self.keep, size)

    def permits(self, row: int, candidate: str) -> bool:
        """Return whether a row has a candidate."""
        return self.allowed is None or candidate in self.allowed[row]

    @property
    def mask(self) -> Tensor:
        """Which candidates are allowed, ``(e, o)``, bool."""
        return self.mask_on(torch.device("cpu"))

    def mask_on(self, device: torch.device) -> Tensor:
        """Return the mask on a device. It is copied there once: a copy would wait for all work that is queued there."""
        return _mask(self, device)


@cache
def _mask(table: ChoiceTable, device: torch.device) -> Tensor:
    rows = [[table.permits(row, name) for name in table.candidates] for row in range(table.rows)]
    return torch.tensor(rows, device=device)


def no_gates(tables: Sequence[ChoiceTable]) -> Gates:
    """Return gates that are all 0, ``(e, o)`` for each table: a supernet then computes no candidate."""
    return {table.label: torch.zeros(table.rows, len(table.candidates)) for table in tables}


def edges_of(label: str) -> str:
    """Return the key of a table's edge weights in gates, ``(e,)``; they multiply an edge's whole output."""
    return f"{label}.edges"


def bias_of(label: str) -> str:
    """Return the key of a table's biases in gates, ``(e,)``; they are added to an edge's output."""
    return f"{label}.bias"


def skip_of(label: str) -> str:
    """Return the key of the gates of a table's auxiliary skip connections, ``(e,)``."""
    return f"{label}.skip"
