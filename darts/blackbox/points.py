"""An architecture as a sequence of categorical decisions, asked one after the other.

A decision is asked only where it takes part in the architecture: which inputs a node keeps comes before the operations
on these inputs, and the choices inside a candidate are asked only where that candidate is kept. So a point holds no
value without effect, and a strategy that changes one value changes the architecture.

Axes: ``d`` decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Protocol

from genotypes import Genotype
from supernet.choice import ChoiceTable
from supernet.spaces.space import SearchSpace

Point = dict[str, str]
"""Name of each decision that was asked -> the value that was chosen, in the order of asking."""

ALL_OF = "+"
"""Joins the parts of a value that keeps several inputs or candidates."""


@dataclass(frozen=True)
class Decision:
    """A name and the values that may be chosen."""

    name: str
    values: tuple[str, ...]


class Decisions(Protocol):
    """A space whose points are made by asking one decision after the other."""

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision that is not made yet, or None where the point is complete."""


def complete(decisions: Decisions, plan: Mapping[str, str], rng: Random) -> Point:
    """Ask every decision: answer as planned where that is allowed, else draw uniformly.

    Args:
        plan: name -> wanted value; names that are never asked have no effect.
        rng: draws what is not planned.
    """
    point: Point = {}
    while (decision := decisions.following(point)) is not None:
        wanted = plan.get(decision.name)
        point[decision.name] = wanted if wanted in decision.values else rng.choice(decision.values)
    return point


def neighbours(decisions: Decisions, point: Mapping[str, str], rng: Random) -> Iterator[Point]:
    """Yield every point in which one decision has another value, each once, in random order.

    What the change makes necessary anew, such as the operation on an input that was not kept before, is drawn.
    """
    changes = []
    made: Point = {}
    for name, value in point.items():
        decision = decisions.following(made)
        assert decision is not None and decision.name == name
        changes += [(name, other) for other in decision.values if other != value]
        made[name] = value
    rng.shuffle(changes)
    for name, other in changes:
        yield complete(decisions, {**point, name: other}, rng)


def mutate(decisions: Decisions, point: Mapping[str, str], rng: Random) -> Point:
    """Change one decision, drawn uniformly from those with several values, to another value (Real et al. 2019)."""
    made: Point = {}
    open_decisions = []
    while (decision := decisions.following(made)) is not None:
        made[decision.name] = point[decision.name]
        if len(decision.values) > 1:
            open_decisions.append(decision)
    changed = rng.choice(open_decisions)
    value = rng.choice([value for value in changed.values if value != point[changed.name]])
    return complete(decisions, {**point, changed.name: value}, rng)


class ArchitectureDecisions:
    """The decisions of a search space.

    Args:
        space: whose ``tables`` say what is decided, and whose ``derive`` makes the genotype.
    """

    def __init__(self, space: SearchSpace):
        self.space = space
        self._tables = space.tables

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision of the tables, in their order, that is not made yet."""
        return next(self._open(made), None)

    def genotype(self, point: Mapping[str, str]) -> Genotype:
        """Return the architecture of a complete point."""
        return self.space.derive({table.label: tuple(_pairs(table, point)) for table in self._tables})

    def _open(self, made: Mapping[str, str]) -> Iterator[Decision]:
        for table in self._tables:
            if not _takes_part(table, made):
                continue
            for group, span in enumerate(table.spans):
                rows: tuple[int, ...] = tuple(span)
                kept = table.kept(len(span))
                if kept < len(span):
                    name = f"{table.label}/{group}/inputs"
                    if name not in made:
                        yield Decision(name, tuple(map(_joined, combinations(range(len(span)), kept))))
                        return
                    rows = tuple(span[int(position)] for position in made[name].split(ALL_OF))
                for row in rows:
                    name = f"{table.label}/{row}"
                    if name not in made:
                        yield Decision(name, _values(table, row))
                        return


def _takes_part(table: ChoiceTable, made: Mapping[str, str]) -> bool:
    """Whether the candidates that a table is part of are kept; see ``ChoiceTable.when``."""
    kept = {(name.partition("/")[0], part) for name, value in made.items() for part in value.split(ALL_OF)}
    return not table.when or any(set(pairs) <= kept for pairs in table.when)


def _values(table: ChoiceTable, row: int) -> tuple[str, ...]:
    """The candidates of a row that may be derived; several joined where a row keeps several."""
    names = [name for name in table.candidates if name not in table.dropped and table.permits(row, name)]
    return tuple(map(_joined, combinations(names, min(table.picks, len(names)))))


def _pairs(table: ChoiceTable, point: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for row in range(table.rows):
        for name in point.get(f"{table.label}/{row}", "").split(ALL_OF):
            if name:
                yield row, name


def _joined(parts: tuple[object, ...]) -> str:
    return ALL_OF.join(map(str, parts))
