"""Discretization: which candidates a search keeps."""

from collections.abc import Callable

from torch import Tensor

from supernet.choice import ChoiceTable

Discretize = Callable[[Tensor, ChoiceTable], tuple[tuple[int, str], ...]]
"""Strengths ``(e, o)`` and their table -> the kept (row, candidate) pairs."""


NEVER_KEPT = "none"
"""The candidate that methods leave out where nothing but its share of the relaxation speaks for it."""


def top_edges(scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
    """The strongest edges into each node, each with its strongest candidates (DARTS, section 2.4).

    How many of each, and which candidates are never derived, the table says: in the DARTS space two edges with one
    candidate other than ``none``. An edge is as strong as its strongest candidate. Kept edges come strongest first,
    equals in the order of rows; where all are kept, they come in that order.
    """
    columns = [column for column, name in enumerate(table.candidates) if name not in table.dropped]
    best, order = scores.detach().cpu()[:, columns].sort(dim=1, descending=True, stable=True)
    picks = []
    for rows in table.spans:
        if table.keep is not None:
            rows = sorted(rows, key=lambda row: -best[row, 0].item())[: table.keep]
        picks += [(row, table.candidates[columns[k]]) for row in rows for k in order[row, : table.picks].tolist()]
    return tuple(picks)


DISCRETIZATIONS: dict[str, Discretize] = {"top_edges": top_edges}
