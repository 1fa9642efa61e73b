"""Discretization: which candidates a search keeps. DARTS's rule; the others stand in their methods' files."""

from collections.abc import Callable

from torch import Tensor

from supernet.choice import ChoiceTable

Discretize = Callable[[Tensor, ChoiceTable], tuple[tuple[int, str], ...]]
"""Edge scores ``(e, o)`` and their table -> the kept (row, candidate) pairs."""

NEVER_KEPT = "none"
"""The candidate that methods leave out which have no use for the absence of an edge in the relaxation."""


def top_edges(scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
    """Return the best edges into each node, each with its best candidates (DARTS, section 2.4).

    The table says how many of each, and which candidates are never derived: in the DARTS space two edges with one
    candidate other than ``none``. An edge's score is that of its best candidate. Kept edges come in the order of their
    scores, equals in the order of rows; where all are kept, they come in the order of rows.

    Args:
        scores: ``(e, o)``.
        table: the decisions that they belong to.
    """
    columns = [column for column, name in enumerate(table.candidates) if name not in table.dropped]
    best, order = scores.detach().cpu()[:, columns].sort(dim=1, descending=True, stable=True)
    picks: list[tuple[int, str]] = []
    for span in table.spans:
        rows = list(span)
        if table.keep is not None:
            rows = sorted(rows, key=lambda row: -best[row, 0].item())[: table.keep]
        picks += [(row, table.candidates[columns[k]]) for row in rows for k in order[row, : table.picks].tolist()]
    return tuple(picks)


def decisions_due(count: int, first: float, last: float, epoch: int, epochs: int) -> int:
    """Return how many of ``count`` decisions are made by an epoch's end, spread evenly from ``first`` to ``last``.

    Args:
        count: decisions in all.
        first, last: shares of the search at which the first and the last are made.
        epoch: counted from 0; at the last epoch all are made.
        epochs: of the search.
    """
    if epoch + 1 == epochs:
        return count
    at = [first + (last - first) * index / max(count - 1, 1) for index in range(count)]
    return sum(round(epochs * share) <= epoch for share in at)
