"""The architectures of a space: sampled, mutated, crossed over, enumerated, counted and encoded, for every space alike.

An architecture is a space's ``Picks`` in canonical form (``canonical``): every table that takes part has its kept
(row, candidate) pairs, sorted by row, then in the order of the candidates. A decision that takes no part in the
network, such as one inside a candidate that was not kept, is left out. So different canonical picks are different
genotypes, and ``space.derive`` and ``space.picks`` are inverses on them.

Randomness comes from a ``torch.Generator`` of the CPU. Nothing but ``tables``, ``valid`` and ``constrained`` of a space
is used. Where a space is constrained beyond its tables, as NAS-Bench-101 is by its 9 edges, ``sample`` rejects and
``count`` enumerates.

Axes: ``e`` row (in a cell: edge), ``o`` candidate. ``E`` is the number of rows of all tables.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from supernet.choice import ChoiceTable, Gates, Picks
from supernet.conditions import canonical, count_open, draw_open, every_open, open_tables
from supernet.decisions import Change, Value, changes, draw_below, ordered
from supernet.errors import SpaceError
from supernet.spaces.space import SearchSpace

__all__ = [
    "canonical",
    "count",
    "cross_over",
    "encode_integers",
    "encode_one_hot",
    "encode_paths",
    "enumerate_all",
    "key",
    "mutate",
    "neighbours",
    "one_hot",
    "sample",
]

ATTEMPTS = 10_000
"""Draws of a constrained space before ``sample`` gives up."""

CHILDREN = 100
"""Draws of a constrained space before ``cross_over`` returns its first parent."""

NO_OPERATION = "none"
"""The candidate that delivers zeros: no path leads through it."""

Key = tuple[tuple[str, Value], ...]


def key(space: SearchSpace, picks: Picks) -> Key:
    """Return the canonical picks as a hashable value, equal for equal architectures alone."""
    return tuple(canonical(space.tables, picks).items())


def sample(space: SearchSpace, generator: torch.Generator) -> Picks:
    """Draw an architecture, all valid ones equally likely.

    ``O(E)`` draws. Of tables that depend on each other, each possible value of the outer ones is counted.

    Raises:
        SpaceError: where a constrained space has no valid architecture in 10,000 draws.
    """
    tables = space.tables
    for _ in range(ATTEMPTS if space.constrained else 1):
        picks = canonical(tables, dict(draw_open(open_tables(tables), {}, generator)))
        if not space.constrained or space.valid(picks) is None:
            return picks
    raise SpaceError(f"none of {ATTEMPTS} drawn architectures is valid: {space.valid(picks)}")


def mutate(space: SearchSpace, picks: Picks, generator: torch.Generator, kind_first: bool = False) -> Picks:
    """Draw an architecture that differs in exactly one decision (Real et al. 2019, section 3).

    All valid changes of one decision (``supernet.decisions.changes``) are equally likely; with ``kind_first``, it is
    first drawn whether an operation or an input changes, as AmoebaNet does. Decisions that the change brings into the
    architecture are drawn uniformly; those that it takes out are forgotten. ``O(E o)``.

    Raises:
        SpaceError: where the picks are not valid, or there is nothing to change.
    """
    tables, start = space.tables, _checked(space, picks)
    found = [
        (table.label, change)
        for table in tables
        if table.label in start
        for change in changes(table, start[table.label])
    ]
    for label, change in _in_random_order(found, generator, kind_first):
        fixed = {**start, label: change.value}
        changed = canonical(tables, dict(draw_open(open_tables(tables), fixed, generator)))
        if not space.constrained or space.valid(changed) is None:
            return changed
    raise SpaceError("no decision of this architecture can be changed")


def cross_over(
    space: SearchSpace,
    first: Picks,
    second: Picks,
    generator: torch.Generator,
    points: Literal["uniform", "one_point"] = "uniform",
) -> Picks:
    """Draw a child of two architectures: each of its decisions is that of a parent.

    A group of rows that compete, such as the edges into one node, is inherited as a whole; of a table that keeps all
    rows, each row by itself. ``uniform`` takes each from either parent with equal probability; ``one_point`` takes
    those before a random point from the first and the others from the second. A decision that takes part in one parent
    alone comes from that one; where a shared label takes part in neither, it is drawn. ``O(E)``.

    Returns:
        The child; of a constrained space the first parent, where none of 100 children is valid.

    Raises:
        SpaceError: where a parent is not valid.
    """
    tables, parents = space.tables, (_checked(space, first), _checked(space, second))
    genes = {table.label: _genes(table) for table in tables}
    total = sum(map(len, genes.values()))
    for _ in range(CHILDREN if space.constrained else 1):
        if points == "uniform":
            sides = torch.randint(2, (total,), generator=generator).tolist()
        else:
            point = 1 + draw_below(max(total - 1, 1), generator)
            sides = [0] * point + [1] * (total - point)
        chosen = iter(sides)
        child = _child(
            tables, parents, {label: [next(chosen) for _ in each] for label, each in genes.items()}, generator
        )
        if not space.constrained or space.valid(child) is None:
            return child
    return parents[0]


def neighbours(space: SearchSpace, picks: Picks) -> Iterator[Picks]:
    """Yield every valid architecture that differs in one decision, each once, in the order of the tables' rows.

    The relation is symmetric. A change that brings further decisions into the architecture is followed by each of their
    values. ``O(E o)`` architectures where no table depends on another.

    Raises:
        SpaceError: where the picks are not valid.
    """
    tables, start = space.tables, _checked(space, picks)
    for table in tables:
        for change in changes(table, start[table.label]) if table.label in start else ():
            fixed = {**start, table.label: change.value}
            for found in every_open(open_tables(tables), fixed):
                changed = canonical(tables, found)
                if not space.constrained or space.valid(changed) is None:
                    yield changed


def enumerate_all(space: SearchSpace) -> Iterator[Picks]:
    """Yield every valid architecture once: rows in lexicographic order, then candidates in the tables' order."""
    tables = space.tables
    for found in every_open(open_tables(tables), {}):
        picks = canonical(tables, found)
        if not space.constrained or space.valid(picks) is None:
            yield picks


def count(space: SearchSpace) -> int:
    """Return the exact number of valid architectures.

    In closed form, ``O(E)``; tables on which others depend are followed value by value. Constrained spaces are
    enumerated.
    """
    if space.constrained:
        return sum(1 for _ in enumerate_all(space))
    return count_open(open_tables(space.tables), {})


def one_hot(tables: Sequence[ChoiceTable], picks: Picks, dtype: torch.dtype = torch.float32) -> Gates:
    """Return gates ``(e, o)`` for each table: 1 for what is kept, 0 for all else.

    A supernet under these gates computes the network of the architecture; see ``SearchSpace.inherit``.
    """
    gates = {}
    for table in tables:
        gates[table.label] = torch.zeros(table.rows, len(table.candidates), dtype=dtype)
        for row, name in picks.get(table.label, ()):
            gates[table.label][row, table.candidates.index(name)] = 1
    return gates


def encode_one_hot(space: SearchSpace, picks: Picks) -> Tensor:
    """Return the one-hot gates of an architecture as one vector, ``(sum of e o,)``. Injective."""
    tables = space.tables
    return torch.cat([gate.flatten() for gate in one_hot(tables, canonical(tables, picks)).values()])


def encode_integers(space: SearchSpace, picks: Picks) -> tuple[int, ...]:
    """Return integers that say what stands on each row, for categorical models. Injective.

    ``ChoiceTable.picks`` integers for each row of every table: the numbers of its kept candidates, counted from 1; 0
    where nothing is kept or the table takes no part.
    """
    tables, found = space.tables, canonical(space.tables, picks)
    encoded = []
    for table in tables:
        value = found.get(table.label, ())
        for row in range(table.rows):
            kept = [1 + table.candidates.index(name) for other, name in value if other == row]
            encoded += kept + [0] * (table.picks - len(kept))
    return tuple(encoded)


def encode_paths(space: SearchSpace, picks: Picks, size: int | None = None) -> Tensor:
    """Return which paths from an input to the output an architecture has (BANANAS, White et al. 2021, section 3).

    A path is an input and the operations that are applied to it in turn, whatever the nodes between; none leads through
    the operation ``none``, unlike in the authors' code for NAS-Bench-201. Where the groups of a table are not the
    incoming edges of consecutive nodes, each row is a path of one operation. Not injective: architectures of the same
    paths are one.

    Args:
        space: of the architecture.
        picks: of the architecture.
        size: keeps the first paths of each table, the shortest, as the truncated encoding does.

    Returns:
        0 and 1, one for each possible path of a table, shortest first; the tables behind each other. With ``n`` inputs,
        ``v`` nodes and ``o`` operations a table has ``n (o + o^2 + ... + o^v)`` paths.
    """
    tables, found = space.tables, canonical(space.tables, picks)
    parts = []
    for table in tables:
        total, indices = _paths(table, found.get(table.label, ()))
        part = torch.zeros(total if size is None else min(size, total))
        part[[index for index in sorted(indices) if index < len(part)]] = 1
        parts.append(part)
    return torch.cat(parts)


def _paths(table: ChoiceTable, value: Value) -> tuple[int, set[int]]:
    """Return how many paths a table can have, and the numbers of those of a value, shortest paths first."""
    names = [name for name in table.candidates if name not in (*table.dropped, NO_OPERATION)]
    edges = [(row, names.index(name)) for row, name in value if name in names]
    inputs, nodes, size = table.groups[0], len(table.groups), len(names)
    if table.groups != tuple(range(inputs, inputs + nodes)):
        return table.rows * size, {row * size + column for row, column in edges}
    reaching: list[set[tuple[int, ...]]] = [{(state,)} for state in range(inputs)]
    for span in table.spans:
        entering = [(row - span.start, column) for row, column in edges if row in span]
        reaching.append({(*path, column) for source, column in entering for path in reaching[source]})
    found: set[tuple[int, ...]] = set().union(*reaching[inputs:] if table.all_outputs else reaching[-1:])
    starts = [0]
    for length in range(1, nodes + 1):
        starts.append(starts[-1] + inputs * size**length)
    indices = set()
    for start, *columns in found:
        index = start
        for column in columns:
            index = index * size + column
        indices.add(starts[len(columns) - 1] + index)
    return starts[-1], indices


def _checked(space: SearchSpace, picks: Picks) -> dict[str, Value]:
    """Return canonical picks.

    Raises:
        SpaceError: where they are not valid.
    """
    fault = space.valid(picks)
    if fault:
        raise SpaceError(f"not an architecture of this space: {fault}")
    return canonical(space.tables, picks)


def _in_random_order(
    found: Sequence[tuple[str, Change]], generator: torch.Generator, kind_first: bool
) -> Iterator[tuple[str, Change]]:
    """Yield changes in random order: all equally likely, or all kinds that are left, and all within a kind."""
    pools: dict[str, list[tuple[str, Change]]] = {}
    for index in torch.randperm(len(found), generator=generator).tolist():
        label, change = found[index]
        pools.setdefault(change.kind if kind_first else "", []).append((label, change))
    kinds = sorted(pools)
    while kinds:
        kind = kinds[draw_below(len(kinds), generator)] if len(kinds) > 1 else kinds[0]
        yield pools[kind].pop()
        kinds = [kind for kind in kinds if pools[kind]]


def _genes(table: ChoiceTable) -> list[range]:
    """Return the rows that are inherited together: a group, or a single row where all are kept."""
    return list(table.spans) if table.keep is not None else [range(row, row + 1) for row in range(table.rows)]


def _child(
    tables: Sequence[ChoiceTable],
    parents: tuple[dict[str, Value], dict[str, Value]],
    sides: dict[str, list[int]],
    generator: torch.Generator,
) -> dict[str, Value]:
    """Return the child that takes each gene from the parent of its side, 0 or 1, or from the one that has it."""
    inherited: dict[str, Value] = {}
    for table in tables:
        pairs: list[tuple[int, str]] = []
        for rows, side in zip(_genes(table), sides[table.label]):
            source = next((each[table.label] for each in (parents[side], parents[1 - side]) if table.label in each), ())
            pairs += [pair for pair in source if pair[0] in rows]
        if any(table.label in parent for parent in parents):
            inherited[table.label] = ordered(table, tuple(pairs))
    return canonical(tables, dict(draw_open(open_tables(tables), inherited, generator)))
