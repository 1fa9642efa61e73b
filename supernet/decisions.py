"""The decisions of one table of choices: the values that it can take, their number, and those one change away.

A *value* of a table is the tuple of its kept (row, candidate) pairs, sorted by row, then in the order of the table's
candidates: in each group ``ChoiceTable.kept`` of its rows, on each of these rows ``ChoiceTable.picks`` candidates that
the row permits and that are not in ``dropped``. Rows without such a candidate are never kept.

Axes: ``e`` row (in a cell: edge), ``o`` candidate. Counts are exact integers of any size.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import comb, prod
from typing import Literal, NamedTuple

import torch

from supernet.choice import ChoiceTable

Value = tuple[tuple[int, str], ...]
"""The kept (row, candidate) pairs of one table."""

Kind = Literal["operation", "input"]
"""What a change changes: the candidate on a kept row, or which row of its group is kept."""


class Change(NamedTuple):
    """One decision of a table changed.

    Attributes:
        kind: what was changed.
        value: of the table afterwards, sorted.
    """

    kind: Kind
    value: Value


def derivable(table: ChoiceTable, row: int) -> tuple[str, ...]:
    """Return the candidates that can be kept on a row, in the table's order."""
    return tuple(name for name in table.candidates if name not in table.dropped and table.permits(row, name))


def ordered(table: ChoiceTable, value: Value) -> Value:
    """Return a table's pairs sorted by row, then in the order of its candidates."""
    return tuple(sorted(value, key=lambda pair: (pair[0], table.candidates.index(pair[1]))))


def fault_of(table: ChoiceTable, value: Value) -> str | None:
    """Return why pairs are no value of a table, in one line; None where they are one, in any order."""
    label, seen = table.label, set()
    for row, name in value:
        if not 0 <= row < table.rows:
            return f"{label}: row {row} does not exist; the table has {table.rows}"
        if name not in table.candidates or not table.permits(row, name):
            there = [other for other in table.candidates if table.permits(row, other)]
            return f"{label}: row {row} has no {name!r}; it has {', '.join(there)}"
        if name in table.dropped:
            return f"{label}: {name!r} on row {row} is never derived"
        if (row, name) in seen:
            return f"{label}: {name!r} is kept twice on row {row}"
        seen.add((row, name))
    for span, needed in _spans(table):
        rows = sorted({row for row, _ in value if row in span})
        if len(rows) != needed:
            return f"{label}: {len(rows)} of rows {span.start} to {span.stop - 1} are kept, must be {needed}"
        for row in rows:
            count = sum(row == other for other, _ in value)
            if count != _picks(table, row):
                return f"{label}: {count} candidates are kept on row {row}, must be {_picks(table, row)}"
    return None


def count_values(table: ChoiceTable) -> int:
    """Return the number of values of a table, in ``O(e keep)``."""
    return prod(_subsets([_row_count(table, row) for row in span], needed)[0][needed] for span, needed in _spans(table))


def values(table: ChoiceTable) -> Iterator[Value]:
    """Yield every value of a table once: rows in lexicographic order, then candidates in the table's order."""
    groups = []
    for span, needed in _spans(table):
        usable = [row for row in span if derivable(table, row)]
        groups.append(
            [
                tuple(pair for pairs in chosen for pair in pairs)
                for rows in combinations(usable, needed)
                for chosen in product(*(_row_values(table, row) for row in rows))
            ]
        )
    for parts in product(*groups):
        yield tuple(pair for part in parts for pair in part)


def draw_value(table: ChoiceTable, generator: torch.Generator) -> Value:
    """Draw a value of a table uniformly."""
    return ordered(table, draw_pairs(table, generator))


def draw_pairs(table: ChoiceTable, generator: torch.Generator) -> tuple[tuple[int, str], ...]:
    """Draw the kept pairs of a table uniformly, in the order in which they are drawn.

    In each group the rows are drawn first. Where all rows have equally many candidates, they are the first of a random
    permutation; else each subset of rows is as likely as it has values.
    """
    pairs: list[tuple[int, str]] = []
    for span, needed in _spans(table):
        counts = [_row_count(table, row) for row in span]
        if len(set(counts)) <= 1:
            places = torch.randperm(len(span), generator=generator)[:needed].tolist()
        else:
            places = _draw_subset(counts, needed, generator)
        for place in places:
            row = span[place]
            names, picks = derivable(table, row), _picks(table, row)
            if picks == 1:
                columns = [draw_below(len(names), generator)]
            else:
                columns = torch.randperm(len(names), generator=generator)[:picks].tolist()
            pairs += [(row, names[column]) for column in columns]
    return tuple(pairs)


def changes(table: ChoiceTable, value: Value) -> list[Change]:
    """Return every value that differs from a sorted one in one decision, each once.

    An operation changes where one kept candidate of a row becomes one that is not kept there. An input changes where a
    kept row gives its place to a row of its group that is not kept. The row's candidates move with it; where neither
    row permits those of the other, the new row takes each of its own. So the relation is symmetric.
    """
    found: list[Change] = []
    kept = {row: tuple(name for other, name in value if other == row) for row, _ in value}
    for row, names in kept.items():
        for name in names:
            rest = [pair for pair in value if pair != (row, name)]
            for other in derivable(table, row):
                if other not in names:
                    found.append(Change("operation", ordered(table, (*rest, (row, other)))))
    for span, _ in _spans(table):
        free = [row for row in span if row not in kept and derivable(table, row)]
        for row in (row for row in span if row in kept):
            rest = [pair for pair in value if pair[0] != row]
            for target in free:
                for names in _moved(table, row, target, kept[row]):
                    found.append(Change("input", ordered(table, (*rest, *((target, name) for name in names)))))
    return found


def _moved(table: ChoiceTable, row: int, target: int, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return what can stand on ``target`` where it takes the place of ``row``, which holds ``names``."""
    there = derivable(table, target)
    if len(names) != _picks(table, target):
        return []
    if set(names) <= set(there):
        return [names]
    here = set(derivable(table, row))
    every = (tuple(name for _, name in pairs) for pairs in _row_values(table, target))
    return [other for other in every if not set(other) <= here]


def draw_below(bound: int, generator: torch.Generator) -> int:
    """Draw an integer from 0 to ``bound - 1`` uniformly, however large the bound."""
    if bound <= 2**62:
        return int(torch.randint(bound, (), generator=generator))
    digits = -(-bound.bit_length() // 62)
    while True:
        drawn = 0
        for _ in range(digits):
            drawn = (drawn << 62) | int(torch.randint(2**62, (), generator=generator))
        drawn >>= 62 * digits - bound.bit_length()
        if drawn < bound:
            return drawn


def _spans(table: ChoiceTable) -> list[tuple[range, int]]:
    """Return the rows of each group, and how many of them are kept."""
    usable = [sum(bool(derivable(table, row)) for row in span) for span in table.spans]
    return [(span, min(table.kept(len(span)), count)) for span, count in zip(table.spans, usable)]


def _picks(table: ChoiceTable, row: int) -> int:
    return min(table.picks, len(derivable(table, row)))


def _row_count(table: ChoiceTable, row: int) -> int:
    names = len(derivable(table, row))
    return comb(names, min(table.picks, names)) if names else 0


def _row_values(table: ChoiceTable, row: int) -> list[Value]:
    chosen = combinations(derivable(table, row), _picks(table, row))
    return [tuple((row, name) for name in names) for names in chosen]


def _subsets(counts: Sequence[int], size: int) -> list[list[int]]:
    """Return, for each start ``i`` and size ``k``, the sum over subsets of ``counts[i:]`` of the product of counts."""
    sums = [[1] + [0] * size]
    for count in reversed(counts):
        after = sums[0]
        sums.insert(0, [after[k] + (count * after[k - 1] if k else 0) for k in range(size + 1)])
    return sums


def _draw_subset(counts: Sequence[int], size: int, generator: torch.Generator) -> list[int]:
    """Draw ``size`` places, each subset as likely as the product of its counts."""
    sums = _subsets(counts, size)
    places: list[int] = []
    for index, count in enumerate(counts):
        left = size - len(places)
        if left and draw_below(sums[index][left], generator) < count * sums[index + 1][left - 1]:
            places.append(index)
    return places
