"""Random cells, and cells one change away, as evolution and local search need them.

A mutation is that of regularized evolution (Real et al. 2019, section 3): one edge gets another operation, or another
earlier state as its input.
"""

from collections.abc import Iterator, Sequence
from random import Random

from genotypes.faults import Fault, GenotypeError, nearest, quote
from genotypes.types.cell import CELL_INPUTS, CELL_OPS, DERIVED_OPS, LABELS, Cell, CellGenotype, Edge

Move = tuple[str, int, int, Edge]
"""Label of the cell, index of the node, position of the edge in it, the new edge."""


def neighbours(genotype: CellGenotype, rng: Random, ops: Sequence[str] | None = None) -> Iterator[CellGenotype]:
    """Yield all valid genotypes that differ in one operation or one input, each once, in random order.

    Changes of an operation and of an input are equally likely, as long as there are both. A node whose inputs are
    distinct keeps them distinct. Neighbours have no name. ``ops`` are ``DERIVED_OPS`` by default.

    Raises:
        GenotypeError: for an operation that does not exist.
    """
    ops = DERIVED_OPS if ops is None else ops
    check_ops(ops)
    groups = [moves for moves in (_op_moves(genotype, ops), _input_moves(genotype)) if moves]
    for moves in groups:
        rng.shuffle(moves)
    while groups:
        moves = rng.choice(groups)
        changed = _changed(genotype, moves.pop())
        groups = [moves for moves in groups if moves]
        if changed is not None:
            yield changed


def mutate(genotype: CellGenotype, rng: Random, ops: Sequence[str] = DERIVED_OPS) -> CellGenotype:
    """Return one of ``neighbours``.

    Raises:
        GenotypeError: for an operation that does not exist, or where nothing can be changed.
    """
    for changed in neighbours(genotype, rng, ops):
        return changed
    raise GenotypeError([Fault("ops", ", ".join(ops), "operations that leave something to change")], "mutate")


def sample(rng: Random, nodes: int = 4, ops: Sequence[str] = DERIVED_OPS, inputs: int = 2) -> CellGenotype:
    """Draw a genotype uniformly: ``inputs`` distinct earlier states for each node, any of ``ops`` on each edge.

    A node with fewer states before it takes all of them. All nodes are concatenated.

    Raises:
        GenotypeError: for an operation that does not exist.
    """
    check_ops(ops)
    cells = {}
    for label in LABELS:
        rows = []
        for states in range(CELL_INPUTS, CELL_INPUTS + nodes):
            sources = sorted(rng.sample(range(states), min(inputs, states)))
            rows.append(tuple(Edge(rng.choice(ops), source) for source in sources))
        cells[label] = Cell(tuple(rows), tuple(range(CELL_INPUTS, CELL_INPUTS + nodes)))
    return CellGenotype(cells["normal"], cells["reduce"])


def check_ops(ops: Sequence[str]) -> None:
    """Raise a GenotypeError that names every operation that does not exist."""
    faults = [Fault("ops", quote(op), nearest(op, CELL_OPS)) for op in ops if op not in CELL_OPS]
    if faults or not ops:
        raise GenotypeError(faults or [Fault("ops", "none given", "at least one")], "mutate")


def _op_moves(genotype: CellGenotype, ops: Sequence[str]) -> list[Move]:
    return [
        (label, node, position, Edge(op, edge.source))
        for label, node, position, edge in _edges(genotype)
        for op in dict.fromkeys(ops)
        if op != edge.op
    ]


def _input_moves(genotype: CellGenotype) -> list[Move]:
    moves = []
    for label, node, position, edge in _edges(genotype):
        sources = [other.source for other in getattr(genotype, label).nodes[node]]
        taken = sources if len(set(sources)) == len(sources) else [edge.source]
        free = [state for state in range(CELL_INPUTS + node) if state not in taken]
        moves += [(label, node, position, Edge(edge.op, state)) for state in free]
    return moves


def _edges(genotype: CellGenotype) -> Iterator[Move]:
    for label in LABELS:
        for node, edges in enumerate(getattr(genotype, label).nodes):
            for position, edge in enumerate(edges):
                yield label, node, position, edge


def _changed(genotype: CellGenotype, move: Move) -> CellGenotype | None:
    """Return the changed genotype, or None where it would be invalid: without an output that has a value."""
    label, node, position, edge = move
    cells = {name: getattr(genotype, name) for name in LABELS}
    nodes = [list(edges) for edges in cells[label].nodes]
    nodes[node][position] = edge
    cells[label] = Cell(tuple(map(tuple, nodes)), cells[label].concat)
    try:
        return CellGenotype(cells["normal"], cells["reduce"])
    except GenotypeError:
        return None
