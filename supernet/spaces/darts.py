"""The DARTS space: a normal and a reduction cell, searched together (Liu et al. 2019, section 3.1)."""

from dataclasses import dataclass

from genotypes import CELL_INPUTS, Cell, CellGenotype, Edge
from supernet.choice import ChoiceTable, Picks
from supernet.mixed import Backend, MixedGraph
from supernet.network import DerivedCell, ImageShape, MixedCell, Network, Stem
from supernet.ops import DARTS_PRIMITIVES

NORMAL, REDUCE = "normal", "reduce"


@dataclass(frozen=True)
class DARTSSpace:
    """Two cells of ``nodes`` nodes; every node has an edge from every state before it, every edge all candidates.

    Attributes:
        shape: of the images and the answer.
        channels, layers: width and depth of the supernet.
        nodes: in each cell; all are concatenated.
        candidates: operations on each edge.
        stem: see ``Network``.
    """

    shape: ImageShape
    channels: int = 16
    layers: int = 8
    nodes: int = 4
    candidates: tuple[str, ...] = DARTS_PRIMITIVES
    stem: Stem = "cifar"

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        groups = tuple(range(CELL_INPUTS, CELL_INPUTS + self.nodes))
        return tuple(ChoiceTable(label, self.candidates, groups) for label in (NORMAL, REDUCE))

    def supernet(self, backend: Backend = "batched") -> Network:
        """The network of mixed operations; call it with gates ``(e, o)`` for both tables."""

        def inside(channels: int, reduction: bool) -> MixedCell:
            stride, label = (2, REDUCE) if reduction else (1, NORMAL)
            graph = MixedGraph(channels, self.candidates, CELL_INPUTS, self.nodes, stride, backend)
            return MixedCell(label, graph, self.nodes)

        return Network(self.shape, self.channels, self.layers, self.stem, inside, affine=False)

    def network(self, genotype: CellGenotype, auxiliary: bool = False) -> Network:
        """The derived network of a genotype, with this space's width and depth, to train from scratch."""

        def inside(channels: int, reduction: bool) -> DerivedCell:
            return DerivedCell(genotype.reduce if reduction else genotype.normal, channels, reduction)

        return Network(self.shape, self.channels, self.layers, self.stem, inside, auxiliary=auxiliary)

    def derive(self, picks: Picks) -> CellGenotype:
        """The genotype of the picked edges. All nodes are concatenated."""
        cells = []
        for label in (NORMAL, REDUCE):
            edges = [(source, node) for node in range(self.nodes) for source in range(CELL_INPUTS + node)]
            nodes: list[list[Edge]] = [[] for _ in range(self.nodes)]
            for row, op in picks[label]:
                source, node = edges[row]
                nodes[node].append(Edge(op, source))
            cells.append(Cell(tuple(map(tuple, nodes)), tuple(range(CELL_INPUTS, CELL_INPUTS + self.nodes))))
        return CellGenotype(*cells)
