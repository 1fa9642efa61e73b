"""Random genotypes, and genotypes one change away: what evolution and local search walk on.

A mutation is that of regularized evolution (Real et al. 2019, section 3): one edge takes another operation, or another
earlier state as its input.
"""

from collections.abc import Iterator, Sequence
from random import Random

from genotypes.formats.validation import LABELS
from genotypes.types.cell import CELL_INPUTS, CELL_OPS, Cell, CellGenotype, Edge, Fault, GenotypeError, nearest, quote
from genotypes.types.nasbench201 import NASBENCH201_OPS, NASBench201Genotype

DERIVED_OPS = CELL_OPS[1:8]
"""What is left to choose from where an architecture is derived: the DARTS operations without ``none``."""

Move = tuple[str, int, int, Edge]
"""Label of the cell, index of the node, position of the edge in it, what stands there afterwards."""


def neighbours(genotype: CellGenotype, rng: Random, ops: Sequence[str] = DERIVED_OPS) -> Iterator[CellGenotype]:
    """All valid genotypes that differ in one operation or one input, each once, in random order.

    Changes of an operation and of an input are equally likely, as long as there are both. A node whose inputs are
    distinct keeps them distinct. What is yielded has no name.

    Raises:
        GenotypeError: for an operation that does not exist.
    """
    check_ops(ops)
    kinds = [moves for moves in (_op_moves(genotype, ops), _input_moves(genotype)) if moves]
    for moves in kinds:
        rng.shuffle(moves)
    while kinds:
        moves = rng.choice(kinds)
        changed = _moved(genotype, moves.pop())
        kinds = [left for left in kinds if left]
        if changed is not None:
            yield changed


def mutate(genotype: CellGenotype, rng: Random, ops: Sequence[str] = DERIVED_OPS) -> CellGenotype:
    """One of ``neighbours``.

    Raises:
        GenotypeError: for an operation that does not exist, or where nothing can be changed.
    """
    for changed in neighbours(genotype, rng, ops):
        return changed
    raise GenotypeError([Fault("ops", ", ".join(ops), "operations that leave something to change")], "mutate")


def sample(rng: Random, nodes: int = 4, ops: Sequence[str] = DERIVED_OPS, inputs: int = 2) -> CellGenotype:
    """A genotype drawn uniformly: ``inputs`` distinct earlier states for each node, any of ``ops`` on each edge.

    A node with fewer states before it takes all of them. All nodes are concatenated.

    Raises:
        GenotypeError: for an operation that does not exist.
    """
    check_ops(ops)
    cells = []
    for _ in LABELS:
        rows = []
        for states in range(CELL_INPUTS, CELL_INPUTS + nodes):
            sources = sorted(rng.sample(range(states), min(inputs, states)))
            rows.append(tuple(Edge(rng.choice(ops), source) for source in sources))
        cells.append(Cell(tuple(rows), tuple(range(CELL_INPUTS, CELL_INPUTS + nodes))))
    return CellGenotype(*cells)


def nasbench201_neighbours(genotype: NASBench201Genotype, rng: Random) -> Iterator[NASBench201Genotype]:
    """All 24 architectures that differ in one operation, each once, in random order."""
    moves = [(edge, op) for edge, found in enumerate(genotype.ops) for op in NASBENCH201_OPS if op != found]
    rng.shuffle(moves)
    for edge, op in moves:
        yield NASBench201Genotype((*genotype.ops[:edge], op, *genotype.ops[edge + 1 :]))


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


def _moved(genotype: CellGenotype, move: Move) -> CellGenotype | None:
    """The changed genotype, or None where it is none: where its last output would lose its value."""
    label, node, position, edge = move
    cells = {name: getattr(genotype, name) for name in LABELS}
    nodes = [list(edges) for edges in cells[label].nodes]
    nodes[node][position] = edge
    cells[label] = Cell(tuple(map(tuple, nodes)), cells[label].concat)
    try:
        return CellGenotype(**cells)
    except GenotypeError:
        return None
