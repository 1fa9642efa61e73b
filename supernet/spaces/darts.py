"""The DARTS space: a normal and a reduction cell, searched together (Liu et al. 2019, section 3.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

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
        stem: see ``Network``; ``auto`` takes ImageNet's for images from 96 pixels on.
        partial: see ``MixedGraph``.
        allowed: table label -> each edge's candidates, where they are not all.
    """

    shape: ImageShape
    channels: int = 16
    layers: int = 8
    nodes: int = 4
    candidates: tuple[str, ...] = DARTS_PRIMITIVES
    stem: Stem | Literal["auto"] = "auto"
    partial: int = 1
    allowed: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        groups = tuple(range(CELL_INPUTS, CELL_INPUTS + self.nodes))
        return tuple(ChoiceTable(label, self.candidates, groups, self.allowed.get(label)) for label in (NORMAL, REDUCE))

    def supernet(self, backend: Backend = "batched") -> Network:
        """The network of mixed operations; call it with gates ``(e, o)`` for both tables."""

        def inside(channels: int, reduction: bool) -> MixedCell:
            stride, label = (2, REDUCE) if reduction else (1, NORMAL)
            options = self.allowed.get(label), self.partial
            graph = MixedGraph(channels, self.candidates, CELL_INPUTS, self.nodes, stride, backend, *options)
            return MixedCell(label, graph, self.nodes)

        return self._network(inside, affine=False)

    def network(self, genotype: CellGenotype, auxiliary: bool = False) -> Network:
        """The derived network of a genotype, with this space's width and depth, to train from scratch."""

        def inside(channels: int, reduction: bool) -> DerivedCell:
            return DerivedCell(genotype.reduce if reduction else genotype.normal, channels, reduction)

        return self._network(inside, auxiliary=auxiliary)

    def derive(self, picks: Picks) -> CellGenotype:
        """The genotype of the picked edges. All nodes are concatenated."""
        cells = []
        for label in (NORMAL, REDUCE):
            edges = self._edges
            nodes: list[list[Edge]] = [[] for _ in range(self.nodes)]
            for row, op in picks[label]:
                source, node = edges[row]
                nodes[node].append(Edge(op, source))
            cells.append(Cell(tuple(map(tuple, nodes)), tuple(range(CELL_INPUTS, CELL_INPUTS + self.nodes))))
        return CellGenotype(*cells)

    @property
    def titles(self) -> dict[str, list[str]]:
        """Table label -> what each row decides, for people."""
        states = ["c\u2096\u208b\u2082", "c\u2096\u208b\u2081", *map(str, range(self.nodes))]
        rows = [f"{states[source]} \u2192 {node}" for source, node in self._edges]
        return {table.label: rows for table in self.tables}

    @property
    def _edges(self) -> list[tuple[int, int]]:
        """The (source, node) of each row."""
        return [(source, node) for node in range(self.nodes) for source in range(CELL_INPUTS + node)]

    def _network(self, inside: Callable[[int, bool], nn.Module], **options: bool) -> Network:
        stem = self.stem
        if stem == "auto":
            stem = "imagenet" if self.shape.size >= 96 else "cifar"
        return Network(self.shape, self.channels, self.layers, stem, inside, **options)
