"""The DARTS space: a normal and a reduction cell, searched together (Liu et al. 2019, section 3.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from genotypes import CELL_INPUTS, Cell, CellGenotype, Edge
from supernet.choice import ChoiceTable, Picks
from supernet.errors import SpaceError
from supernet.heads import HEADS
from supernet.mixed.backends import Backend
from supernet.mixed.graph import MixedGraph
from supernet.mixed.parts import graph_parts
from supernet.ops import derived
from supernet.parts import Part
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.cells import DerivedCell, MixedCell, Network, Stem
from supernet.spaces.darts.robust import ALLOWED, CANDIDATES
from supernet.spaces.inherit import copy_op_weights, copy_shared_weights, supernet_op
from supernet.spaces.space import SearchSpace, SpaceEntry, SpaceOptions, require_candidate

NORMAL, REDUCE = "normal", "reduce"

LARGEST = "sep_conv_5x5"
"""The candidate that takes most memory."""


@dataclass(frozen=True)
class DARTSOptions:
    """The options that only the DARTS space has."""

    nodes: int = 4
    """Intermediate nodes of each cell."""
    stem: Stem | Literal["auto"] = "auto"
    """The first layers: strided halves the image's size, imagenet divides it by 8, imagenet_wide too and is three times
    as wide; auto takes imagenet from 96 pixels on."""
    candidates: Literal["darts", "s1", "s2", "s3", "s4"] = "darts"
    """The operations of each edge: DARTS's eight, or a reduced space of RobustDARTS."""


@dataclass(frozen=True)
class DARTSSpace(SearchSpace):
    """Two cells of ``nodes`` nodes, where every node has an edge from every state before it.

    Attributes:
        shape: of the images and the number of classes.
        channels: width of the first cells.
        layers: number of cells.
        nodes: of each cell; all are concatenated.
        candidates: operations of each edge.
        stem: see ``Network``; ``auto`` takes ImageNet's for images from 96 pixels on.
        partial: candidates see 1/``partial`` of the channels (PC-DARTS).
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
        """One table for each cell: two edges into each node are kept, each with one operation."""
        groups = tuple(range(CELL_INPUTS, CELL_INPUTS + self.nodes))
        return tuple(
            ChoiceTable(label, self.candidates, groups, self.allowed.get(label), watched_for_collapse=label == NORMAL)
            for label in (NORMAL, REDUCE)
        )

    def supernet(self, backend: Backend = "batched") -> Network:
        """Return the network of mixed operations; it is called with gates ``(e, o)`` for both tables."""

        def inside(channels: int, reduction: bool) -> MixedCell:
            stride, label = (2, REDUCE) if reduction else (1, NORMAL)
            graph = MixedGraph(
                channels,
                self.candidates,
                inputs=CELL_INPUTS,
                nodes=self.nodes,
                stride=stride,
                backend=backend,
                allowed=self.allowed.get(label),
                partial=self.partial,
                label=label,
            )
            return MixedCell(label, graph, self.nodes)

        return self._network(inside, affine=False)

    def network(self, genotype: CellGenotype, auxiliary: bool = False, searched: bool = False) -> Network:
        """Return the derived network of a genotype, with this space's width and depth.

        Args:
            genotype: two cells, of this space or any other of the family.
            auxiliary: whether to build the auxiliary head.
            searched: whether pooling is followed by BatchNorm, as in the supernet; see ``inherit``.

        Raises:
            SpaceError: where the genotype is of another kind, or an auxiliary head is asked for that cannot be.
        """
        _require_cells(genotype)
        if auxiliary and self.shape.target != "class":
            raise SpaceError("an auxiliary head classifies whole images, not maps or boxes: set `auxiliary` 0")
        make = supernet_op if searched else derived

        def inside(channels: int, reduction: bool) -> DerivedCell:
            return DerivedCell(genotype.reduce if reduction else genotype.normal, channels, reduction, make)

        return self._network(inside, auxiliary=auxiliary)

    def inherit(self, network: Network, supernet: Network, genotype: CellGenotype) -> None:
        """Copy a supernet's weights to a ``searched`` network; an auxiliary head keeps its own.

        Raises:
            SpaceError: where the supernet has no weights for the genotype, or those of partial channels.
        """
        if self.partial > 1:
            raise SpaceError("a supernet of partial channels has no weights for all channels: nothing to inherit")
        copy_shared_weights(network, supernet)
        rows = {edge: row for row, edge in enumerate(self._edges)}
        for network_cell, supernet_cell in zip(network.cells, supernet.cells):
            derived_cell, mixed = network_cell.inside, supernet_cell.inside
            assert isinstance(derived_cell, DerivedCell) and isinstance(mixed, MixedCell)
            wiring = genotype.reduce if mixed.label == REDUCE else genotype.normal
            kept = [(e, node) for node, edges in enumerate(wiring.nodes) for e in edges if e.source in wiring.alive]
            for (edge, node), op in zip(kept, derived_cell.ops):
                if (edge.source, node) not in rows:
                    raise SpaceError(f"the supernet has no node {node}, so there are no weights to inherit")
                copy_op_weights(mixed.graph, rows[edge.source, node], edge.op, op)

    def figures(self, genotype: CellGenotype) -> dict[str, Any]:
        """Return the skip connections of each cell; a search that collapses fills the normal cell with them."""
        cells = {NORMAL: genotype.normal, REDUCE: genotype.reduce}
        ops = {label: [edge.op for edges in cell.nodes for edge in edges] for label, cell in cells.items()}
        return {f"skips_{label}": found.count("skip_connect") for label, found in ops.items()}

    def parts(self, inputs: tuple[Any, ...]) -> list[Part]:
        """Return every candidate of every edge, as derived networks have it."""
        return graph_parts(self.supernet, self.tables, inputs)

    def skipped(self, genotype: CellGenotype) -> tuple[int, int]:
        """Return the number of skip connections, and of edges, in the normal cell."""
        ops = [edge.op for edges in genotype.normal.nodes for edge in edges]
        return ops.count("skip_connect"), len(ops)

    def derive(self, picks: Picks) -> CellGenotype:
        """Return the genotype of the picked edges. All nodes are concatenated."""
        cells = []
        for label in (NORMAL, REDUCE):
            edges = self._edges
            nodes: list[list[Edge]] = [[] for _ in range(self.nodes)]
            for row, op in picks[label]:
                source, node = edges[row]
                nodes[node].append(Edge(op, source))
            cells.append(Cell(tuple(map(tuple, nodes)), self._concat))
        normal, reduce = cells
        return CellGenotype(normal, reduce)

    def picks(self, genotype: CellGenotype) -> Picks:
        """Return the edges of a genotype, in its order.

        Some methods derive nodes with fewer edges than the space keeps, or edges with two operations: such picks are
        not ``valid``.

        Raises:
            SpaceError: where the number of nodes, the concatenation or an operation is of another space, or an edge
                has one operation twice.
        """
        _require_cells(genotype)
        rows = {edge: row for row, edge in enumerate(self._edges)}
        found = {}
        for table, cell in zip(self.tables, (genotype.normal, genotype.reduce)):
            if len(cell.nodes) != self.nodes:
                raise SpaceError(f"{table.label}.nodes: {len(cell.nodes)} nodes; cells of this space have {self.nodes}")
            if cell.concat != self._concat:
                raise SpaceError(f"{table.label}.concat: {list(cell.concat)}; this space has {list(self._concat)}")
            pairs: list[tuple[int, str]] = []
            for node, edges in enumerate(cell.nodes):
                for position, edge in enumerate(edges):
                    row, where = rows[edge.source, node], f"{table.label}.nodes[{node}][{position}]"
                    require_candidate(table, row, edge.op, where)
                    if (row, edge.op) in pairs:
                        raise SpaceError(f"{where}: {edge.op} from state {edge.source} again; the space has it once")
                    pairs.append((row, edge.op))
            found[table.label] = tuple(pairs)
        return found

    @property
    def largest(self) -> CellGenotype:
        """The genotype whose network takes most memory to train."""
        edges = tuple(Edge(LARGEST, source) for source in range(CELL_INPUTS))
        cell = Cell((edges,) * self.nodes, self._concat)
        return CellGenotype(cell, cell)

    @property
    def titles(self) -> dict[str, list[str]]:
        """Table label -> the states that each row connects."""
        states = ["c\u2096\u208b\u2082", "c\u2096\u208b\u2081", *map(str, range(self.nodes))]
        rows = [f"{states[source]} \u2192 {node}" for source, node in self._edges]
        return {table.label: rows for table in self.tables}

    @property
    def _edges(self) -> list[tuple[int, int]]:
        """The (source, node) of each row."""
        return [(source, node) for node in range(self.nodes) for source in range(CELL_INPUTS + node)]

    @property
    def _concat(self) -> tuple[int, ...]:
        return tuple(range(CELL_INPUTS, CELL_INPUTS + self.nodes))

    def _network(self, inside: Callable[[int, bool], MixedCell | DerivedCell], **options: bool) -> Network:
        stem = self.stem
        if stem == "auto":
            stem = "imagenet" if self.shape.size >= 96 else "cifar"
        return Network(self.shape, self.channels, self.layers, stem, inside, **options)


def _require_cells(genotype: Any) -> None:
    if not isinstance(genotype, CellGenotype):
        raise SpaceError(f"the DARTS space needs a normal and a reduction cell, not a {type(genotype).__name__}")


def make(options: SpaceOptions) -> DARTSSpace:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set holds no images, or the options do not fit.
    """
    options.require(ImageShape, "images", HEADS)
    own = options.own_as(DARTSOptions)
    if options.searching and options.layers < 3:
        raise SpaceError(f"`space.layers` is {options.layers}; two cells reduce, so a search needs 3 or more")
    if own.candidates in ALLOWED and own.nodes != DARTSSpace.nodes:
        reduced = f"`space.candidates` {own.candidates} is made for cells of 4 nodes"
        raise SpaceError(f"{reduced}; `space.nodes` is {own.nodes}")
    return DARTSSpace(
        shape=options.shape,
        channels=options.channels,
        layers=options.layers,
        nodes=own.nodes,
        candidates=options.kept(CANDIDATES.get(own.candidates, DARTSSpace.candidates)),
        stem=own.stem,
        partial=options.partial,
        allowed=options.allowed or ALLOWED.get(own.candidates, {}),
    )


ENTRY = SpaceEntry(make, CellGenotype, DARTSOptions)
