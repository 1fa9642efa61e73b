"""Which tables of choices take part in an architecture, and the architectures that follow: counted, drawn, enumerated.

A table may take part only where others keep certain candidates (``ChoiceTable.when``), as a choice inside a candidate
of another choice does. An *open* table is one that is not decided yet, with what remains of its condition.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from supernet.choice import ChoiceTable, Picks
from supernet.decisions import Value, count_values, draw_below, draw_value, fault_of, ordered, values


@dataclass(frozen=True)
class Open:
    """A table that is not decided yet.

    Attributes:
        table: to decide.
        when: what remains of its condition, as ``ChoiceTable.when``; one empty alternative where it holds.
    """

    table: ChoiceTable
    when: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def active(self) -> bool:
        """Whether the table is known to take part."""
        return () in self.when


def open_tables(tables: Sequence[ChoiceTable]) -> tuple[Open, ...]:
    """Return all tables of a space, none of them decided."""
    return tuple(Open(table, table.when or ((),)) for table in tables)


def decide(remaining: Sequence[Open], made: Mapping[str, Value]) -> tuple[Open, ...]:
    """Return the tables that remain open when some have taken values: without those that now take no part.

    Args:
        remaining: the open tables.
        made: label of a table that is known to take part -> its value.
    """
    known = {label: {name for _, name in value} for label, value in made.items()}
    left = [each for each in remaining if each.table.label not in made]
    while True:
        reduced = [Open(each.table, _reduced(each.when, known)) for each in left]
        closed = {each.table.label for each in reduced if not each.when}
        left = [each for each in reduced if each.when]
        if not closed:
            return tuple(left)
        known |= {label: set() for label in closed}


def components(remaining: Sequence[Open]) -> list[tuple[Open, ...]]:
    """Split open tables into groups between which no condition stands, in the order of their first tables."""
    groups: list[tuple[set[str], list[int]]] = []
    for index, each in enumerate(remaining):
        labels = {each.table.label} | ({label for way in each.when for label, _ in way} if not each.active else set())
        met = [group for group in groups if group[0] & labels]
        groups = [group for group in groups if not group[0] & labels]
        groups.append((labels.union(*(found for found, _ in met)), sorted([index, *(i for _, m in met for i in m)])))
    return [tuple(remaining[index] for index in members) for _, members in sorted(groups, key=lambda group: group[1])]


def count_open(remaining: Sequence[Open], fixed: Mapping[str, Value]) -> int:
    """Return in how many ways open tables can be decided.

    Tables without conditions between them are counted in closed form; where others depend on a table, each of its
    values is followed. The cost is thus the number of values within one group of dependent tables, not of all.

    Args:
        remaining: the open tables.
        fixed: table label -> the one value that it takes, if it takes part.
    """
    _, remaining = _with_fixed(remaining, fixed)
    total = 1
    for group in components(remaining):
        if len(group) == 1:
            total *= count_values(group[0].table)
        else:
            total *= sum(count_open(rest, fixed) for _, rest in _branches(group))
    return total


def draw_open(
    remaining: Sequence[Open], fixed: Mapping[str, Value], generator: torch.Generator
) -> Iterator[tuple[str, Value]]:
    """Decide open tables, every outcome equally likely; yield the label and the value of each that takes part."""
    made, remaining = _with_fixed(remaining, fixed)
    yield from made.items()
    for group in components(remaining):
        if len(group) == 1:
            yield group[0].table.label, draw_value(group[0].table, generator)
            continue
        branches = list(_branches(group))
        place = draw_below(sum(count_open(rest, fixed) for _, rest in branches), generator) if branches[1:] else 0
        for chosen, rest in branches:
            place -= count_open(rest, fixed)
            if place < 0:
                yield from chosen.items()
                yield from draw_open(rest, fixed, generator)
                break


def every_open(remaining: Sequence[Open], fixed: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """Yield every way to decide open tables once: label -> value of those that take part."""
    made, remaining = _with_fixed(remaining, fixed)
    if not remaining:
        yield made
        return
    for chosen, left in _branches(remaining):
        for rest in every_open(left, fixed):
            yield {**made, **chosen, **rest}


def canonical(tables: Sequence[ChoiceTable], picks: Picks) -> dict[str, Value]:
    """Return picks in one order, without the decisions that take no part: label -> value, as the tables are ordered."""
    active = taking_part(tables, picks)
    return {t.label: ordered(t, picks[t.label]) for t in tables if t.label in active and t.label in picks}


def taking_part(tables: Sequence[ChoiceTable], picks: Picks) -> frozenset[str]:
    """Return the labels of the tables that take part where these pairs are kept."""
    kept = {(label, name) for label, value in picks.items() for _, name in value}
    when = {table.label: table.when for table in tables}
    known: dict[str, bool] = {}

    def takes_part(label: str) -> bool:
        if label not in known:
            ways = when.get(label, ())
            known[label] = not ways or any(
                all(pair in kept and takes_part(pair[0]) for pair in way) for way in ways
            )  # fmt: skip
        return known[label]

    return frozenset(label for label in when if takes_part(label))


def violation(tables: Sequence[ChoiceTable], picks: Picks) -> str | None:
    """Return why picks are no architecture of the tables, in one line; None where they are one.

    Every table that takes part must have a value. Those that take no part may have any, which is ignored.
    """
    by_label = {table.label: table for table in tables}
    unknown = [label for label in picks if label not in by_label]
    if unknown:
        return f"{unknown[0]!r} is no table of this space; it has {', '.join(by_label)}"
    active = taking_part(tables, picks)
    for label, table in by_label.items():
        if label in active:
            fault = fault_of(table, tuple(picks[label])) if label in picks else f"{label} is not decided"
            if fault:
                return fault
    return None


def _with_fixed(remaining: Sequence[Open], fixed: Mapping[str, Value]) -> tuple[dict[str, Value], tuple[Open, ...]]:
    """Give their values to the fixed tables that take part; return these values, and the tables that remain open.

    All whose condition holds are decided at once: ``O(E)`` for each level of conditions.
    """
    made: dict[str, Value] = {}
    remaining = tuple(remaining)
    while True:
        active = (each.table.label for each in remaining if each.active)
        ready = {label: fixed[label] for label in active if label in fixed}
        if not ready:
            return made, remaining
        made |= ready
        remaining = decide(remaining, ready)


def _branches(remaining: Sequence[Open]) -> Iterator[tuple[dict[str, Value], tuple[Open, ...]]]:
    """Yield each value of the first table that is known to take part, under its label, and the tables left open."""
    table = next(each.table for each in remaining if each.active)
    for value in values(table):
        yield {table.label: value}, decide(remaining, {table.label: value})


def _reduced(
    when: tuple[tuple[tuple[str, str], ...], ...], known: Mapping[str, set[str]]
) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Return a condition where the names kept under some labels are known."""
    possible = [way for way in when if all(name in known[label] for label, name in way if label in known)]
    return tuple(dict.fromkeys(tuple(pair for pair in way if pair[0] not in known) for way in possible))
