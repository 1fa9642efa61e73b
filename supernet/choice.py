"""What a search decides, as data: tables of choices, and the gates that weigh them.

A table holds several decisions of one shape. Its *gates* are one tensor of shape ``(e, o)``: one row for each decision
(in a cell: each edge), one column for each candidate. Networks take gates as an argument; they hold none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Gates = Mapping[str, Tensor]
"""Table label -> gates, ``(e, o)``; or ``(e,)`` where a method weighs whole edges."""

Picks = Mapping[str, tuple[tuple[int, str], ...]]
"""Table label -> the (row, candidate) pairs that a discretization kept, in its order of preference."""


@dataclass(frozen=True)
class ChoiceTable:
    """Decisions that share their candidates.

    Attributes:
        label: names the table in gates, logits and picks.
        candidates: names, in the order of the gates' columns.
        groups: how many consecutive rows compete for each place; in a cell, the incoming edges of each node.
    """

    label: str
    candidates: tuple[str, ...]
    groups: tuple[int, ...]

    @property
    def rows(self) -> int:
        return sum(self.groups)
