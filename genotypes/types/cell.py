"""Cells of the DARTS, NASNet and AmoebaNet families as frozen, validated data.

A cell is a directed acyclic graph over *states*: states 0 and 1 are the outputs of the two cells before it, state
``2 + j`` is intermediate node ``j``. A node sums the outputs of its incoming edges; each edge applies one operation to
one earlier state. The cell's output concatenates the states named in ``concat`` (DARTS, Liu et al. 2019, section 2.1).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from genotypes.faults import MAX_FAULTS, Fault, GenotypeError, nearest, quote
from genotypes.types.genotype import architecture_hash

CELL_INPUTS = 2
LABELS = ("normal", "reduce")
MAX_NODES = 256


@dataclass(frozen=True)
class CellOperation:
    """A row of ``OPERATIONS``.

    Attributes:
        description: a sentence that editors show beside the name.
        derivable: whether DARTS derives it: whether it is one of its candidate operations and not ``none``.
    """

    description: str
    derivable: bool = False


OPERATIONS = {
    "none": CellOperation("Zeros: no connection."),
    "max_pool_3x3": CellOperation("3x3 maximum pooling.", derivable=True),
    "avg_pool_3x3": CellOperation("3x3 average pooling; padding is not counted.", derivable=True),
    "skip_connect": CellOperation(
        "Identity; at stride 2 a factorized reduction by two 1x1 convolutions.", derivable=True
    ),
    "sep_conv_3x3": CellOperation("3x3 depthwise-separable convolution, applied twice.", derivable=True),
    "sep_conv_5x5": CellOperation("5x5 depthwise-separable convolution, applied twice.", derivable=True),
    "dil_conv_3x3": CellOperation("3x3 depthwise-separable convolution of dilation 2, applied once.", derivable=True),
    "dil_conv_5x5": CellOperation("5x5 depthwise-separable convolution of dilation 2, applied once.", derivable=True),
    "sep_conv_7x7": CellOperation("7x7 depthwise-separable convolution, applied twice."),
    "conv_7x1_1x7": CellOperation("A 1x7 and a 7x1 convolution in turn."),
    "noise": CellOperation("Standard normal numbers, whatever the input."),
}
"""Every operation that an edge of a cell may apply, by its name."""

CELL_OPS = tuple(OPERATIONS)
"""Their names."""

DERIVED_OPS = tuple(name for name, operation in OPERATIONS.items() if operation.derivable)
"""The operations among which DARTS derives an architecture."""


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
        """Names of the states in pictures: the two preceding cells, then the nodes by their index."""
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
    """A normal and a reduction cell, the result of a search in the DARTS, NASNet and AmoebaNet families.

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
        return architecture_hash(json.dumps(cells))

    def named(self, name: str | None) -> "CellGenotype":
        """Return the same cells under another name."""
        return replace(self, name=name)


def cell_faults(cell: Cell, label: str) -> list[Fault]:
    """Return everything wrong with one cell, up to ``MAX_FAULTS``. Fields are prefixed with ``label``."""
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
    """Return valid but unusual parts of a genotype: nodes without a value, and nodes whose value is never used.

    Returns:
        The field of each such node, and a description.
    """
    found: list[tuple[str, str]] = []
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
