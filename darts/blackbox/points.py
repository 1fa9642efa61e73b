"""An architecture as a sequence of categorical decisions, asked one after the other.

A decision is asked only where it takes part in the architecture: which inputs a node keeps comes before the operations
on these inputs, and the choices inside a candidate are asked only where that candidate is kept. So a point holds no
value without effect, and a strategy that changes one value changes the architecture.

Axes: ``d`` decision.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Protocol, Self

import torch

from darts.blackbox.pareto.fronts import Outcome
from genotypes import Genotype
from supernet import architectures
from supernet.choice import ChoiceTable, Picks
from supernet.spaces.space import SearchSpace

Point = dict[str, str]
"""Name of each decision that was asked -> the value that was chosen, in the order of asking."""

INPUTS = "inputs"
"""Last part of the name of a decision on which rows of a group are kept."""

ALL_OF = "+"
"""Joins the parts of a value that keeps several inputs or candidates."""


MAX_REJECTED = 1000
"""Points of a constrained space that are drawn before one that is not valid is returned."""


@dataclass(frozen=True)
class Decision:
    """A decision to make.

    Attributes:
        name: of the decision.
        values: that may be chosen.
        group: decisions of one name of a group belong together, as those on the edges into one node of a cell.
    """

    name: str
    values: tuple[str, ...]
    group: str = ""


class Decisions(Protocol):
    """A space whose points are made by asking one decision after the other."""

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision that is not made yet, or None where the point is complete."""

    def fault(self, point: Point) -> str | None:
        """Return why a complete point is no architecture, in one line; None where it is one.

        Not all points are where a space is constrained beyond its choices.
        """
        return None

    def permits(self, point: Point) -> bool:
        """Whether a complete point is an architecture."""
        return self.fault(point) is None

    def completable(self, made: Point) -> bool:
        """Return False where the decisions made so far already rule out an architecture of the space."""
        return True

    def sample(self, rng: Random) -> Point:
        """Draw a point, all equally likely; by default every decision uniformly."""
        return complete(self, {}, rng)

    def count(self) -> int | None:
        """Return the number of points; None where that is not known."""
        return None

    def untrained(self, point: Point) -> Outcome | None:
        """Return what is known of an architecture before it is evaluated; None where that is nothing.

        Its values are minus infinity for the objectives that are not known.
        """
        return None

    @abstractmethod
    def encoding(self, point: Point, paths: int | None) -> list[float]:
        """Return a point as numbers, for surrogate models.

        Args:
            paths: how many paths of a cell the path encoding keeps; None for the one-hot encoding.
        """


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


def permitted(decisions: Decisions, draw: Callable[[], Point]) -> Point:
    """Draw points until one is an architecture of the space; after ``MAX_REJECTED`` draws, the last one."""
    point = draw()
    for _ in range(MAX_REJECTED):
        if decisions.permits(point):
            break
        point = draw()
    return point


def every(decisions: Decisions, made: Mapping[str, str] | None = None) -> Iterator[Point]:
    """Yield every point once, in the order of the decisions' values."""
    point = dict(made or {})
    decision = decisions.following(point)
    if not decisions.completable(point):
        return
    if decision is None:
        if decisions.permits(point):
            yield point
        return
    for value in decision.values:
        yield from every(decisions, {**point, decision.name: value})


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
        changed = complete(decisions, {**point, name: other}, rng)
        if decisions.permits(changed):
            yield changed


def mutate(decisions: Decisions, point: Mapping[str, str], rng: Random, node_first: bool = False) -> Point:
    """Change one decision, drawn uniformly from those with several values, to another value (Real et al. 2019).

    Args:
        node_first: first draw a group of decisions, such as the edges into one node, then a decision of it, as the code
            of NAS-Bench-201's authors does: edges into nodes with few of them then change more often.
    """
    made: Point = {}
    open_decisions = []
    while (decision := decisions.following(made)) is not None:
        made[decision.name] = point[decision.name]
        if len(decision.values) > 1:
            open_decisions.append(decision)
    child: Point = {}
    for _ in range(MAX_REJECTED):
        among = open_decisions
        if node_first:
            group = rng.choice(list(dict.fromkeys(decision.group for decision in open_decisions)))
            among = [decision for decision in open_decisions if decision.group == group]
        changed = rng.choice(among)
        value = rng.choice([value for value in changed.values if value != point[changed.name]])
        child = complete(decisions, {**point, changed.name: value}, rng)
        if decisions.permits(child):
            break
    return child


class ArchitectureDecisions(Decisions):
    """The decisions of a search space.

    Args:
        space: whose ``tables`` say what is decided, and whose ``derive`` makes the genotype.
    """

    def __init__(self, space: SearchSpace):
        self.space = space
        self._price: Callable[[Genotype], Outcome | None] = lambda genotype: None
        self._known: dict[tuple[tuple[str, str], ...], Outcome | None] = {}
        self._tables = space.tables
        self._groups = [(table.label, *group) for table in self._tables for group in _groups_of(table)]
        self._conditions = {table.label: [frozenset(way) for way in table.when] for table in self._tables}
        self._count = None if space.constrained else architectures.count(space)
        self._has_paths = any(len(each.groups) > 1 and _grows_by_one(each.groups) for each in self._tables)
        self._independent = not space.constrained and all(
            not table.when and (table.keep is None or table.allowed is None) for table in self._tables
        )

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision of the tables, in their order, that is not made yet."""
        kept: set[tuple[str, str]] | None = None
        for label, inputs, rows in self._groups:
            decision = _pending(inputs, rows, made)
            if decision is None:
                continue
            conditions = self._conditions[label]
            if not conditions:
                return decision
            kept = _kept(made) if kept is None else kept
            if any(way <= kept for way in conditions):
                return decision
        return None

    def fault(self, point: Point) -> str | None:
        """Return why a complete point is no architecture of the space, as ``SearchSpace.valid`` says."""
        return self.space.valid(self.picks(point)) if self.space.constrained else None

    def completable(self, made: Point) -> bool:
        """Return what ``SearchSpace.completable`` says of the decisions made so far."""
        return not self.space.constrained or self.space.completable(self.picks(made))

    def sample(self, rng: Random) -> Point:
        """Draw an architecture, all valid ones equally likely (``supernet.architectures.sample``).

        Where no decision depends on another, that is to draw each uniformly.
        """
        if self._independent:
            return complete(self, {}, rng)
        return self.point(architectures.sample(self.space, torch.Generator().manual_seed(rng.getrandbits(62))))

    def picks(self, point: Mapping[str, str]) -> dict[str, tuple[tuple[int, str], ...]]:
        """Return the pairs that a complete point keeps."""
        return {table.label: tuple(_pairs(table, point)) for table in self._tables}

    def point(self, picks: Picks) -> Point:
        """Return the point of an architecture: the inverse of ``picks``."""
        point: Point = {}
        while (decision := self.following(point)) is not None:
            label, *place = decision.name.split("/")
            kept = picks[label]
            if place[-1] == INPUTS:
                span = next(table for table in self._tables if table.label == label).spans[int(place[0])]
                point[decision.name] = _joined(
                    tuple(n for n, row in enumerate(span) if any(row == other for other, _ in kept))
                )
            else:
                wanted = {name for row, name in kept if row == int(place[0])}
                point[decision.name] = next(each for each in decision.values if set(each.split(ALL_OF)) == wanted)
        return point

    def genotype(self, point: Mapping[str, str]) -> Genotype:
        """Return the architecture of a complete point."""
        return self.space.derive(self.picks(point))

    def priced(self, price: Callable[[Genotype], Outcome | None]) -> Self:
        """Return these decisions with what is known of an architecture before it is evaluated, such as its costs.

        Args:
            price: asked once for each point.
        """
        found = copy(self)
        found._price, found._known = price, {}
        return found

    def untrained(self, point: Point) -> Outcome | None:
        """Return what is known of an architecture before it is evaluated."""
        if (key := tuple(point.items())) not in self._known:
            self._known[key] = self._price(self.genotype(point))
        return self._known[key]

    def encoding(self, point: Point, paths: int | None) -> list[float]:
        """Return an architecture's paths, of each table the ``paths`` shortest; or its one-hot encoding.

        The one-hot encoding is that for None, and for spaces without cells.
        """
        picks = self.picks(point)
        if paths is None or not self._has_paths:
            return architectures.encode_one_hot(self.space, picks).tolist()
        return architectures.encode_paths(self.space, picks, paths).tolist()

    def count(self) -> int | None:
        """Return the number of architectures; None for a constrained space, whose have to be enumerated."""
        return self._count


Group = tuple[Decision | None, dict[int, Decision]]
"""The decision on the inputs of a group of rows, where not all are kept, and that on each row."""


def _groups_of(table: ChoiceTable) -> Iterator[Group]:
    """Yield the decisions of each group of a table's rows; rows without a candidate that is derived are never kept."""
    for number, span in enumerate(table.spans):
        group = f"{table.label}/{number}"
        values = {row: _values(table, row) for row in span}
        rows = {row: Decision(f"{table.label}/{row}", values[row], group) for row in span}
        usable = [place for place, row in enumerate(span) if values[row] != ("",)]
        kept = min(table.kept(len(span)), len(usable))
        if kept == len(span):
            yield None, rows
        elif kept:
            yield Decision(f"{group}/{INPUTS}", tuple(map(_joined, combinations(usable, kept))), group), rows


def _grows_by_one(groups: tuple[int, ...]) -> bool:
    """Whether each node has one edge more than the one before, as in a cell."""
    return groups == tuple(range(groups[0], groups[0] + len(groups)))


def _pending(inputs: Decision | None, rows: Mapping[int, Decision], made: Mapping[str, str]) -> Decision | None:
    """Return the first decision of a group that is not made yet; None where all are."""
    if inputs is not None and inputs.name not in made:
        return inputs
    decisions = list(rows.values())
    if inputs is not None:
        decisions = [decisions[int(place)] for place in made[inputs.name].split(ALL_OF)]
    return next((decision for decision in decisions if decision.name not in made), None)


def _kept(made: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return the (label, candidate) pairs that are kept, for the conditions of ``ChoiceTable.when``."""
    return {(name.partition("/")[0], part) for name, value in made.items() for part in value.split(ALL_OF)}


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
