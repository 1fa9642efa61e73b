"""Discretization: which candidates a search keeps."""

from collections.abc import Callable

from torch import Tensor

from supernet.choice import ChoiceTable

Discretize = Callable[[Tensor, ChoiceTable], tuple[tuple[int, str], ...]]
"""Strengths ``(e, o)`` and their table -> the kept (row, candidate) pairs."""

NEVER_KEPT = "none"
"""This candidate takes part in the relaxation but is not derived (DARTS, section 2.4)."""


def top_edges(strength: Tensor, table: ChoiceTable, keep: int = 2) -> tuple[tuple[int, str], ...]:
    """The ``keep`` strongest edges into each node, each with its strongest candidate (DARTS, section 2.4).

    An edge is as strong as its strongest candidate. Kept edges come strongest first, equals in the order of rows.
    """
    columns = [column for column, name in enumerate(table.candidates) if name != NEVER_KEPT]
    best, choice = strength.detach().cpu()[:, columns].max(dim=1)
    picks = []
    start = 0
    for size in table.groups:
        rows = sorted(range(start, start + size), key=lambda row: -best[row].item())[:keep]
        picks += [(row, table.candidates[columns[choice[row]]]) for row in rows]
        start += size
    return tuple(picks)


DISCRETIZATIONS: dict[str, Discretize] = {"top_edges": top_edges}
