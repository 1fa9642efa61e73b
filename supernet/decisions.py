"""The decisions of one table of choices: the values that it can take, their number, and those one change away.

A *value* of a table is the tuple of its kept (row, candidate) pairs, sorted by row, then in the order of the table's
candidates: in each group ``ChoiceTable.kept`` of its rows, on each of these rows ``ChoiceTable.picks`` candidates that
the row permits and that are not in ``dropped``. Rows without such a candidate are never kept.

Axes: ``e`` row (in a cell: edge), ``o`` candidate. Counts are exact integers of any size.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import comb, prod
from typing import Literal, NamedTuple

import torch

from supernet.choice import ChoiceTable

Value = tuple[tuple[int, str], ...]
"""The kept (row, candidate) pairs of one table."""

Kind = Literal["operation", "input"]
"""The subject of a change: the candidate on a kept row, or which row of its group is kept."""


class Change(NamedTuple):
    """One decision of a table changed.

    Attributes:
        kind: what was changed.
        value: of the table afterwards, sorted.
    """

    kind: Kind
    value: Value


def derivable(table: ChoiceTable) -> list[tuple[str, ...]]:
    """Return the candidates that can be kept on each row, in the table's order."""
    names = tuple(name for name in table.candidates if name not in table.dropped)
    if table.allowed is None:
        return [names] * table.rows
    return [tuple(name for name in names if table.permits(row, name)) for row in range(table.rows)]


def ordered(table: ChoiceTable, value: Value) -> Value:
    """Return a table's pairs sorted by row, then in the order of its candidates."""
    columns = {name: column for column, name in enumerate(table.candidates)}
    return tuple(sorted(value, key=lambda pair: (pair[0], columns[pair[1]])))


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
    names, counts = derivable(table), Counter(row for row, _ in value)
    for span, needed in _spans(table, names):
        rows = [row for row in span if row in counts]
        if len(rows) != needed:
            return f"{label}: {len(rows)} of rows {span.start} to {span.stop - 1} are kept, must be {needed}"
        for row in rows:
            picks = min(table.picks, len(names[row]))
            if counts[row] != picks:
                return f"{label}: {counts[row]} candidates are kept on row {row}, must be {picks}"
    return None


def count_values(table: ChoiceTable) -> int:
    """Return the number of values of a table, in ``O(e keep)``."""
    names = derivable(table)
    counts = [_row_count(table, each) for each in names]
    return prod(_subsets([counts[row] for row in span], needed)[0][needed] for span, needed in _spans(table, names))


def values(table: ChoiceTable) -> Iterator[Value]:
    """Yield every value of a table once: rows in lexicographic order, then candidates in the table's order."""
    groups, names = [], derivable(table)
    for span, needed in _spans(table, names):
        usable = [row for row in span if names[row]]
        groups.append(
            [
                tuple((row, name) for row, kept in zip(rows, chosen) for name in kept)
                for rows in combinations(usable, needed)
                for chosen in product(*(_row_choices(table, names[row]) for row in rows))
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
    names = derivable(table)
    for span, needed in _spans(table, names):
        counts = [_row_count(table, names[row]) for row in span]
        if len(set(counts)) <= 1:
            places = torch.randperm(len(span), generator=generator)[:needed].tolist()
        else:
            places = _draw_subset(counts, needed, generator)
        for place in places:
            row, there = span[place], names[span[place]]
            if min(table.picks, len(there)) == 1:
                columns = [draw_below(len(there), generator)]
            else:
                columns = torch.randperm(len(there), generator=generator)[: table.picks].tolist()
            pairs += [(row, there[column]) for column in columns]
    return tuple(pairs)


def changes(table: ChoiceTable, value: Value) -> list[Change]:
    """Return every value that differs from a sorted one in one decision, each once.

    An operation changes where one kept candidate of a row becomes one that is not kept there. An input changes where a
    kept row gives its place to a row of its group that is not kept. The row's candidates move with it; where neither
    row permits those of the other, the new row takes each of its own. So the relation is symmetric.
    """
    found: list[Change] = []
    names = derivable(table)
    kept = {row: tuple(name for other, name in value if other == row) for row, _ in value}
    for row, here in kept.items():
        for name in here:
            rest = [pair for pair in value if pair != (row, name)]
            for other in names[row]:
                if other not in here:
                    found.append(Change("operation", ordered(table, (*rest, (row, other)))))
    for span in table.spans:
        free = [row for row in span if row not in kept and names[row]]
        for row in (row for row in span if row in kept):
            rest = [pair for pair in value if pair[0] != row]
            for target in free:
                for moved in _moved(table, kept[row], names[row], names[target]):
                    found.append(Change("input", ordered(table, (*rest, *((target, name) for name in moved)))))
    return found


def _moved(
    table: ChoiceTable, kept: tuple[str, ...], here: tuple[str, ...], there: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Return what can stand on a row with candidates ``there`` that takes the place of one with ``here``."""
    if len(kept) != min(table.picks, len(there)):
        return []
    if set(kept) <= set(there):
        return [kept]
    return [other for other in _row_choices(table, there) if not set(other) <= set(here)]


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


def _spans(table: ChoiceTable, names: Sequence[tuple[str, ...]]) -> list[tuple[range, int]]:
    """Return the rows of each group, and how many of them are kept; ``names`` are the candidates of each row."""
    return [(span, min(table.kept(len(span)), sum(bool(names[row]) for row in span))) for span in table.spans]


def _row_count(table: ChoiceTable, names: tuple[str, ...]) -> int:
    """Return in how many ways a row with these candidates can be decided."""
    return comb(len(names), min(table.picks, len(names))) if names else 0


def _row_choices(table: ChoiceTable, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the candidates that a row with these candidates can keep together."""
    return list(combinations(names, min(table.picks, len(names))))


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
