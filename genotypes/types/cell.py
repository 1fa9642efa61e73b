"""Discrete architectures as frozen, validated data.

A cell is a directed acyclic graph over *states*: states 0 and 1 are the outputs of the two cells before it, state
``2 + j`` is intermediate node ``j``. A node sums what its incoming edges deliver; each edge applies one operation to
one earlier state. The cell's output concatenates the states named in ``concat`` (DARTS, Liu et al. 2019, section 2.1).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from typing import Any

from genotypes.errors import InputError

CELL_INPUTS = 2

CELL_OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "sep_conv_7x7",
    "conv_7x1_1x7",
    "noise",
)

MAX_FAULTS = 50
"""More faults of one cell are not listed: a file of noise has no end of them."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a genotype.

    ``field`` is a path such as ``normal.nodes[2][0].op``; ``found`` and ``allowed`` say what stands there and what may.
    ``line`` counts from 1 and is known where the genotype was read from a text.
    """

    field: str
    found: str
    allowed: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}, {self.field}" if self.line else self.field
        return f"{place}: found {self.found}, allowed {self.allowed}"


class GenotypeError(InputError, ValueError):
    """A genotype that does not describe a network. ``faults`` lists everything that was found wrong."""

    def __init__(self, faults: Sequence[Fault], source: str = "genotype"):
        self.faults = tuple(faults)
        self.source = source
        super().__init__(f"{source}: " + "; ".join(str(fault) for fault in self.faults))

    def within(self, source: str) -> "GenotypeError":
        """The same faults, attributed to a file or another named source."""
        return GenotypeError(self.faults, source)


@dataclass(frozen=True)
class Edge:
    """One operation applied to one earlier state of the cell."""

    op: str
    source: int


@dataclass(frozen=True)
class Cell:
    """Intermediate nodes, each with its incoming edges in order, and the states that are concatenated."""

    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The states as pictures name them: the two cells before, then the nodes by their index."""
        return ("c_{k-2}", "c_{k-1}", *(str(index) for index in range(len(self.nodes))))

    @property
    def alive(self) -> frozenset[int]:
        """States that carry a value: the inputs, and nodes with at least one edge from such a state.

        Fair DARTS (Chu et al. 2020) derives nodes without inputs; they are left out of the concatenation, and
        edges that start at them are not built.
        """
        states = set(range(CELL_INPUTS))
        for index, edges in enumerate(self.nodes, CELL_INPUTS):
            if any(edge.source in states for edge in edges):
                states.add(index)
        return frozenset(states)

    @property
    def outputs(self) -> tuple[int, ...]:
        """The states that are concatenated, without those that carry no value."""
        alive = self.alive
        return tuple(state for state in self.concat if state in alive)

    @property
    def used(self) -> frozenset[int]:
        """States whose value reaches the cell's output."""
        alive, states = self.alive, set(self.outputs)
        for index in reversed(range(len(self.nodes))):
            if CELL_INPUTS + index in states:
                states.update(edge.source for edge in self.nodes[index] if edge.source in alive)
        return frozenset(states)


@dataclass(frozen=True)
class CellGenotype:
    """A normal and a reduction cell: all that the DARTS, NASNet and AmoebaNet families search for.

    Raises:
        GenotypeError: with every fault at once, where the cells do not describe a network.
    """

    normal: Cell
    reduce: Cell
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        faults = [*cell_faults(self.normal, "normal"), *cell_faults(self.reduce, "reduce")]
        if faults:
            raise GenotypeError(faults, self.name or "genotype")

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on the architecture alone, not on its name."""
        cells = [[[[(e.op, e.source) for e in node] for node in c.nodes], c.concat] for c in (self.normal, self.reduce)]
        return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:12]

    def named(self, name: str | None) -> "CellGenotype":
        return replace(self, name=name)


def nearest(name: str, names: Sequence[str]) -> str:
    """What may stand in place of a misspelt name: the closest one, or all of them."""
    close = get_close_matches(name, names, n=1)
    return f"{close[0]!r} (nearest)" if close else "one of " + ", ".join(names)


def quote(value: Any) -> str:
    """A value as a message quotes it: short and on one line."""
    kinds = {dict: "an object", list: "a list", tuple: "a list", type(None): "nothing"}
    if type(value) in kinds:
        return kinds[type(value)]
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a huge number"
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def cell_faults(cell: Cell, label: str) -> list[Fault]:
    """Everything wrong with one cell, up to ``MAX_FAULTS``. Fields are prefixed with ``label``."""
    faults = list(islice(_faults(cell, label), MAX_FAULTS))
    if not faults and not cell.outputs:
        faults.append(Fault(f"{label}.concat", str(list(cell.concat)), "at least one node that has an input"))
    return faults


def _faults(cell: Cell, label: str) -> Iterator[Fault]:
    if not cell.nodes:
        yield Fault(f"{label}.nodes", "no node", "at least one")
        return
    for index, edges in enumerate(cell.nodes):
        last = CELL_INPUTS + index - 1
        for position, edge in enumerate(edges):
            where = f"{label}.nodes[{index}][{position}]"
            if edge.op not in CELL_OPS:
                yield Fault(f"{where}.op", quote(edge.op), nearest(edge.op, CELL_OPS))
            if not 0 <= edge.source <= last:
                yield Fault(f"{where}.from", quote(edge.source), f"an earlier state, 0 to {last}")
    states = range(CELL_INPUTS, CELL_INPUTS + len(cell.nodes))
    for position, state in enumerate(cell.concat):
        if state not in states:
            allowed = f"a node of this cell, {states.start} to {states.stop - 1}"
            yield Fault(f"{label}.concat[{position}]", quote(state), allowed)
        elif state in cell.concat[:position]:
            yield Fault(f"{label}.concat[{position}]", f"{state} again", "each state once")


def warnings(genotype: CellGenotype) -> list[tuple[str, str]]:
    """What a genotype may hold but seldom means: nodes without a value, and nodes whose value is never used.

    Returns:
        The field of each such node, and what is odd about it.
    """
    found = []
    for label, cell in (("normal", genotype.normal), ("reduce", genotype.reduce)):
        alive, used = cell.alive, cell.used
        for index, edges in enumerate(cell.nodes):
            state, where = CELL_INPUTS + index, f"{label}.nodes[{index}]"
            if not edges:
                found.append((where, f"state {state} has no input and is left out"))
            elif state not in alive:
                found.append((where, f"state {state} has inputs from empty states only and is left out"))
            elif state not in used:
                found.append((where, f"the value of state {state} is never used"))
    return found
