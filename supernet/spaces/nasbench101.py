"""The NAS-Bench-101 space: cells of at most 7 vertices and 9 edges, three operations (Ying et al. 2019, section 2).

Three stacks of equal cells, of 1, 2 and 4 times the first width, with max-pooling of stride 2 between them. An
architecture is the upper triangle of a 7 x 7 matrix and five operations, as the benchmark's users search them: vertices
that are on no path from the input to the output may be there, and are not built. So different architectures may be the
same network: ``NASBench101Genotype.module_hash`` tells. Sampling is uniform over these architectures, not over the
423,624 networks.

There is no supernet: the number of channels of a vertex depends on the whole cell.

Axes: ``b`` batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genotypes.types.nasbench101 import MAX_VERTICES, NASBENCH101_OPS, NASBench101Genotype, problem_of
from supernet.choice import ChoiceTable, Picks
from supernet.errors import SpaceError
from supernet.ops import BatchNorm
from supernet.shapes import ImageShape
from supernet.spaces.space import SearchSpace, SpaceEntry, SpaceOptions

EDGES, OPERATIONS = "edges", "operations"
EDGE = "edge"
WIDTHS = (1, 2, 4)
"""Widths of the stacks, in units of the first one's."""

PAIRS = tuple((source, target) for target in range(1, MAX_VERTICES) for source in range(target))
"""The (source, target) of each row of the table of edges."""

INNER = range(1, MAX_VERTICES - 1)
"""The vertices between input and output."""


class ConvBNReLU(nn.Sequential):
    """A convolution without bias, BatchNorm, ReLU: ``(b, c_in, h, w) -> (b, c_out, h, w)``."""

    def __init__(self, c_in: int, c_out: int, kernel: int):
        conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
        super().__init__(conv, BatchNorm(c_out), nn.ReLU())


class Cell(nn.Module):
    """A cell: ``(b, c_in, h, w) -> (b, c_out, h, w)``.

    A vertex reads the sum of its inputs, each cut to the vertex's channels; what comes from the input is projected by a
    1x1 convolution. The output is the concatenation of the vertices that lead to it, plus the projected input where an
    edge leads from the input to the output.
    """

    def __init__(self, genotype: NASBench101Genotype, c_in: int, c_out: int):
        super().__init__()
        cell = genotype.pruned()
        self.channels = vertex_channels(cell, c_in, c_out)
        self.sources = [cell.sources(vertex) for vertex in range(len(self.channels))]
        reading = [vertex for vertex, sources in enumerate(self.sources) if 0 in sources]
        self.projections = nn.ModuleDict({str(v): ConvBNReLU(c_in, self.channels[v], 1) for v in reading})
        self.ops = nn.ModuleList(_operation(op, self.channels[vertex]) for vertex, op in enumerate(cell.ops, 1))

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for vertex, op in enumerate(self.ops, 1):
            terms = [states[source][:, : self.channels[vertex]] for source in self.sources[vertex] if source]
            states.append(op(self._sum(terms, vertex, x)))
        last = len(self.channels) - 1
        found = [states[source] for source in self.sources[last] if source]
        return self._sum([torch.cat(found, 1)] if found else [], last, x)

    def _sum(self, terms: list[Tensor], vertex: int, x: Tensor) -> Tensor:
        if str(vertex) in self.projections:
            terms = [*terms, self.projections[str(vertex)](x)]
        return sum(terms[1:], terms[0])


def vertex_channels(cell: NASBench101Genotype, c_in: int, c_out: int) -> list[int]:
    """Return the channels of each vertex of a cell without extraneous vertices (Ying et al. 2019, figure 1c).

    The output's channels are divided among the vertices that lead to it, the first ones taking one more where they do
    not divide evenly; every other vertex has as many as the largest vertex that reads it.

    Raises:
        SpaceError: where there are fewer channels than vertices to divide them among.
    """
    matrix, last = cell.matrix, len(cell.matrix) - 1
    channels = [c_in, *[0] * (last - 1), c_out]
    ending = [vertex for vertex in range(1, last) if matrix[vertex][last]]
    if len(ending) > c_out:
        raise SpaceError(f"{c_out} channels cannot be divided among {len(ending)} vertices: raise `space.channels`")
    for position, vertex in enumerate(ending):
        channels[vertex] = c_out // len(ending) + (position < c_out % len(ending))
    for vertex in reversed(range(1, last)):
        if not matrix[vertex][last]:
            channels[vertex] = max(channels[target] for target in range(vertex + 1, last) if matrix[vertex][target])
    return channels


class NASBench101Network(nn.Module):
    """The network of a cell: stem, three stacks, mean over the pixels, linear head.

    Args:
        genotype: of the cell.
        shape: of the images and the number of classes.
        channels: width of the stem and of the first stack.
        layers: cells in each stack.
    """

    def __init__(self, genotype: NASBench101Genotype, shape: ImageShape, channels: int, layers: int):
        super().__init__()
        self.stem = ConvBNReLU(shape.channels, channels, 3)
        widths = [channels, *(channels * width for width in WIDTHS)]
        stacks = nn.ModuleList(
            nn.ModuleList(Cell(genotype, c_in if index == 0 else c_out, c_out) for index in range(layers))
            for c_in, c_out in pairwise(widths)
        )
        self.stacks = cast(Sequence[Sequence[Cell]], stacks)
        self.classifier = nn.Linear(widths[-1], shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, ``(b, classes)``, of images ``(b, c, h, w)``."""
        x = self.stem(x)
        for index, stack in enumerate(self.stacks):
            x = F.max_pool2d(x, 2, ceil_mode=True) if index else x
            for cell in stack:
                x = cell(x)
        return self.classifier(x.mean((2, 3)))


@dataclass(frozen=True)
class NASBench101Space(SearchSpace):
    """The space of one cell, which is used throughout the network.

    Attributes:
        shape: of the images and the number of classes.
        channels: width of the stem; the benchmark's is 128.
        layers: cells in each of the three stacks; the benchmark's are 3.
    """

    constrained: ClassVar[bool] = True
    has_supernet: ClassVar[bool] = False

    shape: ImageShape
    channels: int = 128
    layers: int = 3

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """A table of 21 possible edges, each there or not, and one of five operations."""
        edges = ChoiceTable(EDGES, ("none", EDGE), tuple(range(1, MAX_VERTICES)), keep=None, dropped=())
        return edges, ChoiceTable(OPERATIONS, NASBENCH101_OPS, (1,) * len(INNER), keep=None, dropped=())

    @property
    def titles(self) -> dict[str, list[str]]:
        """Table label -> the vertices that each row connects, and the vertex of each operation."""
        names = ["input", *map(str, INNER), "output"]
        edges = [f"{names[source]} \u2192 {names[target]}" for source, target in PAIRS]
        return {EDGES: edges, OPERATIONS: [f"vertex {vertex}" for vertex in INNER]}

    def supernet(self, backend: str = "batched") -> nn.Module:
        """Refuse: there is no supernet.

        Raises:
            SpaceError: always.
        """
        raise SpaceError(
            "NAS-Bench-101 has no supernet, as channels depend on the whole cell: set another `space.name`"
        )

    def network(
        self, genotype: NASBench101Genotype, auxiliary: bool = False, searched: bool = False
    ) -> NASBench101Network:
        """Return the network of a cell, with this space's width and depth, whether ``searched`` or not.

        Raises:
            SpaceError: where the genotype is of another kind, or an auxiliary head is asked for.
        """
        _require_cell(genotype)
        if auxiliary:
            raise SpaceError("networks of NAS-Bench-101 have no auxiliary head: set `auxiliary` 0")
        return NASBench101Network(genotype, self.shape, self.channels, self.layers)

    def derive(self, picks: Picks) -> NASBench101Genotype:
        """Return the cell of the picked edges and operations, without the vertices that have no edge.

        Raises:
            GenotypeError: where the picks are not valid.
        """
        kept = {PAIRS[row] for row, name in picks[EDGES] if name == EDGE}
        vertices = [0, *(v for v in INNER if any(v in pair for pair in kept)), MAX_VERTICES - 1]
        ops = dict(picks[OPERATIONS])
        matrix = tuple(tuple(int((source, target) in kept) for target in vertices) for source in vertices)
        return NASBench101Genotype(matrix, tuple(ops[vertex - 1] for vertex in vertices[1:-1]))

    def picks(self, genotype: NASBench101Genotype) -> Picks:
        """Return the edges and operations of a cell; vertices that it does not have come last and have no edge.

        Raises:
            SpaceError: where the genotype is of another kind, or a vertex between input and output has no edge.
        """
        _require_cell(genotype)
        last = len(genotype.matrix) - 1
        for vertex in range(1, last):
            if not any(genotype.matrix[vertex]) and not genotype.sources(vertex):
                raise SpaceError(f"ops[{vertex - 1}]: vertex {vertex} has no edge; leave it out")
        place = {**{vertex: vertex for vertex in range(last)}, last: MAX_VERTICES - 1}
        kept = {(place[s], place[target]) for target in range(last + 1) for s in genotype.sources(target)}
        ops = (*genotype.ops, *NASBENCH101_OPS[:1] * (len(INNER) - len(genotype.ops)))
        edges = tuple((row, EDGE if pair in kept else "none") for row, pair in enumerate(PAIRS))
        return {EDGES: edges, OPERATIONS: tuple(enumerate(ops))}

    def valid(self, picks: Picks) -> str | None:
        """Return why picks are no cell of the benchmark, in one line; None where they are one.

        At most 9 edges are on paths from the input to the output, of which there is at least one. So that each cell has
        one form, vertices without an edge come last, with the first operation.
        """
        fault = super().valid(picks)
        if fault:
            return fault
        return _fault_of_edges(picks) or _fault_of_operations(picks)

    def completable(self, picks: Picks) -> bool:
        """Return whether the edges, as soon as all are decided, and the operations so far are those of a cell."""
        if len(picks[EDGES]) < len(PAIRS):
            return True
        return _fault_of_edges(picks) is None and _fault_of_operations(picks) is None

    def inherit(self, network: Any, supernet: Any, genotype: Any) -> None:
        """Refuse: there is no supernet.

        Raises:
            SpaceError: always.
        """
        raise SpaceError("NAS-Bench-101 has no supernet, so there are no weights to inherit")

    def figures(self, genotype: NASBench101Genotype) -> dict[str, Any]:
        """Return the number of vertices and edges on paths from the input to the output."""
        cell = genotype.pruned()
        return {"vertices": len(cell.matrix), "edges": sum(map(sum, cell.matrix))}

    def parameters(self, genotype: NASBench101Genotype) -> int:
        """Return the number of weights of ``network``, in closed form."""
        cell = genotype.pruned()
        total = 9 * self.shape.channels * self.channels + 2 * self.channels
        widths = [self.channels, *(self.channels * width for width in WIDTHS)]
        for before, width in pairwise(widths):
            for c_in in (before, *[width] * (self.layers - 1)):
                channels = vertex_channels(cell, c_in, width)
                sizes = {"conv3x3-bn-relu": 9, "conv1x1-bn-relu": 1}
                kernels = [(sizes.get(op, 0), channels[v], channels[v]) for v, op in enumerate(cell.ops, 1)]
                kernels += [(1, c_in, c_out) for v, c_out in enumerate(channels) if 0 in cell.sources(v)]
                total += sum(size * a * b + 2 * b for size, a, b in kernels if size)
        return total + (widths[-1] + 1) * self.shape.classes


def _operation(name: str, channels: int) -> nn.Module:
    if name == "maxpool3x3":
        return nn.MaxPool2d(3, 1, 1)
    return ConvBNReLU(channels, channels, 3 if name == "conv3x3-bn-relu" else 1)


def _used(picks: Picks) -> list[bool]:
    """Return of each inner vertex whether it has an edge."""
    kept = {PAIRS[row] for row, name in picks[EDGES] if name == EDGE}
    return [any(vertex in pair for pair in kept) for vertex in INNER]


def _fault_of_edges(picks: Picks) -> str | None:
    used = _used(picks)
    if used != sorted(used, reverse=True):
        return f"vertex {1 + used.index(False)} has no edge, but a later one has"
    kept = {PAIRS[row] for row, name in picks[EDGES] if name == EDGE}
    size = range(MAX_VERTICES)
    problem = problem_of([[int((source, target) in kept) for target in size] for source in size])
    return f"{problem[0]}; allowed {problem[1]}" if problem else None


def _fault_of_operations(picks: Picks) -> str | None:
    used = _used(picks)
    for vertex, name in picks[OPERATIONS]:
        if not used[vertex] and name != NASBENCH101_OPS[0]:
            return f"vertex {vertex + 1} has no edge; its operation must be {NASBENCH101_OPS[0]}"
    return None


def _require_cell(genotype: Any) -> None:
    if not isinstance(genotype, NASBench101Genotype):
        raise SpaceError(f"NAS-Bench-101 needs a matrix and operations, not a {type(genotype).__name__}")


def make(options: SpaceOptions) -> NASBench101Space:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set holds no images, or options do not apply.
    """
    options.require(ImageShape, "images")
    if options.partial > 1 or options.without:
        raise SpaceError("partial channels and operations left out do not apply to NAS-Bench-101")
    return NASBench101Space(shape=options.shape, channels=options.channels, layers=options.layers)


ENTRY = SpaceEntry(make, NASBench101Genotype)
