"""The NAS-Bench-201 space: one cell of four states and six edges, five candidates (Dong and Yang 2020, section 2.1).

Three stages of equal cells, of 1, 2 and 4 times the first width, with a residual block of stride 2 between them
(He et al. 2016); small tasks take fewer stages. All 15,625 architectures have been trained, so the result of a search
can be looked up (``darts.benchmarks``).

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``e`` edge, ``o`` candidate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBENCH201_STATES, NASBench201Genotype
from supernet.choice import ChoiceTable, Gates, Picks, bias_of, edges_of, skip_of
from supernet.errors import SpaceError
from supernet.heads import HEADS, Level, head
from supernet.mixed.backends import Backend
from supernet.mixed.graph import MixedGraph
from supernet.mixed.parts import graph_parts
from supernet.network import DropPath
from supernet.ops import OPS, BatchNorm, Zero, derived
from supernet.parts import Part
from supernet.shapes import ImageShape
from supernet.spaces.inherit import copy_op_weights, copy_shared_weights
from supernet.spaces.space import SearchSpace, SpaceEntry, SpaceOptions, require_candidate

CELL = "cell"
NO_OPERATION = "none"
MakeCell = Callable[[int], nn.Module]
"""Width -> a cell."""

WIDTHS = (1, 2, 4)
"""Widths of the stages, in units of the first one's."""

STEMS = {"auto": 1, "cifar": 1, "strided": 2}
"""First layers -> stride of the first convolution."""


class MixedCell(nn.Module):
    """The supernet's cell, ``(b, c, h, w) -> (b, c, h, w)``: its output is the graph's last state."""

    def __init__(
        self,
        channels: int,
        candidates: tuple[str, ...],
        backend: Backend,
        allowed: tuple[tuple[str, ...], ...] | None,
        partial: int,
    ):
        super().__init__()
        self.graph = MixedGraph(
            channels,
            candidates,
            inputs=1,
            nodes=NASBENCH201_STATES - 1,
            backend=backend,
            outputs=1,
            allowed=allowed,
            partial=partial,
            make=supernet_op,
            label=CELL,
        )

    def forward(self, x: Tensor, gates: Gates, drop_path: DropPath | None) -> Tensor:
        return self.graph(
            [x],
            gates[CELL],
            edges=gates.get(edges_of(CELL)),
            skip=gates.get(skip_of(CELL)),
            bias=gates.get(bias_of(CELL)),
            drop_path=drop_path if self.training else None,
        )[-1]


def supernet_op(name: str, channels: int, stride: int) -> nn.Module:
    """Return an operation of the supernet; there is no BatchNorm behind pooling, unlike in the DARTS space."""
    return OPS[name].make(channels, stride, False)


class DerivedCell(nn.Module):
    """The cell of an architecture. A state without any edge is zero, as in the benchmark's networks."""

    def __init__(self, genotype: NASBench201Genotype, channels: int):
        super().__init__()
        self.ops = nn.ModuleList(derived(op, channels, 1) for op in genotype.ops)

    def forward(self, x: Tensor, gates: Gates | None, drop_path: DropPath | None) -> Tensor:
        states: list[Tensor] = [x]
        for node in range(1, NASBENCH201_STATES):
            entering = [(op, source) for op, (source, target) in zip(self.ops, EDGES) if target == node]
            built = [self._dropped(op(states[k]), op, drop_path) for op, k in entering if not isinstance(op, Zero)]
            states.append(sum(built[1:], built[0]) if built else x.mul(0.0))
        return states[-1]

    def _dropped(self, y: Tensor, op: nn.Module, drop_path: DropPath | None) -> Tensor:
        return y if drop_path is None or isinstance(op, nn.Identity) else drop_path(y)


class ResidualBlock(nn.Module):
    """A block that halves the size: two 3x3 convolutions, and a pooled and projected shortcut.

    No activation follows the sum.
    """

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.first = _relu_conv(c_in, c_out, 2)
        self.second = _relu_conv(c_out, c_out, 1)
        self.shortcut = nn.Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # The pooling rounds odd sizes up, as the convolution of stride 2 does; the benchmark's sizes are even.
        return self.shortcut(F.avg_pool2d(x, 2, ceil_mode=True)) + self.second(self.first(x))


def _relu_conv(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """Return ReLU, 3x3 convolution without bias, BatchNorm."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), BatchNorm(c_out))


class StagedNetwork(nn.Module):
    """A network of stem, stages of cells with residual blocks between them, and head.

    Args:
        shape: of the images and the number of classes.
        widths: of the stages.
        layers: cells in each stage.
        stem_stride: of the first convolution.
        inside: builds a cell of a given width; called with ``(x, gates, drop_path)``.
    """

    def __init__(self, shape: ImageShape, widths: Sequence[int], layers: int, stem_stride: int, inside: MakeCell):
        super().__init__()
        first = nn.Conv2d(shape.channels, widths[0], 3, stem_stride, 1, bias=False)
        self.stem = nn.Sequential(first, BatchNorm(widths[0]))
        stages = nn.ModuleList(nn.ModuleList(inside(width) for _ in range(layers)) for width in widths)
        self.stages = cast(Sequence[Sequence[Any]], stages)
        self.blocks = nn.ModuleList(ResidualBlock(*pair) for pair in pairwise(widths))
        self.norm = BatchNorm(widths[-1])
        self.classifier = head(shape, [Level(width, stem_stride * 2**index) for index, width in enumerate(widths)])

    @property
    def paths(self) -> int:
        """The number of calls of ``drop_path`` on a batch in a derived network."""
        ops = [op for stage in self.stages for cell in stage for op in cell.ops]
        return sum(not isinstance(op, nn.Identity | Zero) for op in ops)

    def forward(self, x: Tensor, gates: Gates | None = None, drop_path: DropPath | None = None) -> Tensor:
        """Return what the head predicts of images ``(b, c, h, w)``, such as logits of classes, ``(b, classes)``.

        Args:
            x: images.
            gates: of the supernet's table, ``(e, o)``; a derived network takes none.
            drop_path: is applied to the paths of a derived network, or to the edges of a supernet while it trains.
        """
        x = self.stem(x)
        levels: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            if index:
                levels += [x] if self.classifier.reads_all_levels else []
                x = self.blocks[index - 1](x)
            for cell in stage:
                x = cell(x, gates, drop_path)
        return self.classifier([*levels, F.relu(self.norm(x))])


@dataclass(frozen=True)
class NASBench201Options:
    """The options that only the NAS-Bench-201 space has."""

    nodes: int = NASBENCH201_STATES
    """States of the cell; the benchmark's is the only number."""
    stages: int = len(WIDTHS)
    """Stages of cells, 1 to 3; the benchmark's are 3."""
    stem: str = "auto"
    """The first convolution: cifar, the benchmark's, or strided, which halves the image's size."""


@dataclass(frozen=True)
class NASBench201Space(SearchSpace):
    """The space of one cell, which is used throughout the network.

    Attributes:
        shape: of the images and the number of classes.
        channels: width of the first stage; the benchmark's is 16.
        layers: cells in each stage; the benchmark's are 5.
        candidates: operations of each edge.
        partial: candidates see 1/``partial`` of the channels (PC-DARTS).
        allowed: table label -> each edge's candidates, where they are not all.
        stages: 1 to 3; the benchmark's are 3.
        stem_stride: of the first convolution; the benchmark's is 1.
    """

    shape: ImageShape
    channels: int = 16
    layers: int = 5
    candidates: tuple[str, ...] = NASBENCH201_OPS
    partial: int = 1
    allowed: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    stages: int = len(WIDTHS)
    stem_stride: int = 1

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """One table: every edge is kept, with one operation."""
        groups = tuple(range(1, NASBENCH201_STATES))
        allowed = self.allowed.get(CELL)
        return (ChoiceTable(CELL, self.candidates, groups, allowed, keep=None, dropped=(), all_outputs=False),)

    def supernet(self, backend: Backend = "batched") -> StagedNetwork:
        """Return the network of mixed operations; it is called with gates ``(e, o)`` for the table."""
        allowed = self.allowed.get(CELL)
        return self._network(lambda width: MixedCell(width, self.candidates, backend, allowed, self.partial))

    def network(self, genotype: NASBench201Genotype, auxiliary: bool = False, searched: bool = False) -> StagedNetwork:
        """Return the network of an architecture, with this space's width and depth, whether ``searched`` or not.

        Raises:
            SpaceError: where the genotype is of another kind, or an auxiliary head is asked for.
        """
        _require_architecture(genotype)
        if auxiliary:
            raise SpaceError("networks of NAS-Bench-201 have no auxiliary head: set `auxiliary` 0")
        return self._network(lambda width: DerivedCell(genotype, width))

    def derive(self, picks: Picks) -> NASBench201Genotype:
        """Return the architecture of one operation for each edge; ``none`` where an edge has no pick."""
        ops = dict(picks[CELL])
        return NASBench201Genotype(tuple(ops.get(row, NO_OPERATION) for row in range(len(EDGES))))

    def picks(self, genotype: NASBench201Genotype) -> Picks:
        """Return the operation of every edge, without ``none`` where the space does not have it.

        Raises:
            SpaceError: where the genotype is of another kind, or an edge does not have its operation.
        """
        _require_architecture(genotype)
        (table,) = self.tables
        pairs = []
        for row, name in enumerate(genotype.ops):
            if name != NO_OPERATION or (name in table.candidates and table.permits(row, name)):
                require_candidate(table, row, name, f"ops[{row}]")
                pairs.append((row, name))
        return {CELL: tuple(pairs)}

    def inherit(self, network: StagedNetwork, supernet: StagedNetwork, genotype: NASBench201Genotype) -> None:
        """Copy a supernet's weights to the network of an architecture.

        Raises:
            SpaceError: where the supernet has no weights for the architecture, or those of partial channels.
        """
        if self.partial > 1:
            raise SpaceError("a supernet of partial channels has no weights for all channels: nothing to inherit")
        copy_shared_weights(network, supernet)
        for derived_stage, mixed_stage in zip(network.stages, supernet.stages):
            for cell, mixed in zip(derived_stage, mixed_stage):
                for row, (name, op) in enumerate(zip(genotype.ops, cell.ops)):
                    copy_op_weights(mixed.graph, row, name, op)

    def figures(self, genotype: NASBench201Genotype) -> dict[str, Any]:
        """Return the number of skip connections, and whether the input reaches the output (1 or 0)."""
        return {"skips": genotype.ops.count("skip_connect"), "connected": int(genotype.connected)}

    def parts(self, inputs: tuple[Any, ...]) -> list[Part]:
        """Return every candidate of every edge, as derived networks have it."""
        return graph_parts(self.supernet, self.tables, inputs)

    def skipped(self, genotype: NASBench201Genotype) -> tuple[int, int]:
        """Return the number of skip connections, and of edges, in the cell."""
        return genotype.ops.count("skip_connect"), len(genotype.ops)

    @property
    def titles(self) -> dict[str, list[str]]:
        """Table label -> the states that each row connects."""
        return {CELL: [f"{source} \u2192 {node}" for source, node in EDGES]}

    def parameters(self, genotype: NASBench201Genotype) -> int:
        """Return the number of weights of ``network``, in closed form."""
        c, widths = self.channels, self._widths
        cells = self.layers * sum(_kernels(genotype) * w * w + 2 * w * _convolutions(genotype) for w in widths)
        blocks = sum(9 * a * b + 9 * b * b + a * b + 4 * b for a, b in pairwise(widths))
        head = 2 * widths[-1] + (widths[-1] + 1) * self.shape.classes
        return 9 * self.shape.channels * c + 2 * c + cells + blocks + head

    def multiply_adds(self, genotype: NASBench201Genotype) -> int:
        """Return the multiply-adds of convolutions and head (with its bias) for one image, as the benchmark does."""
        sizes = [-(-self.shape.size // self.stem_stride)]
        for _ in self._widths[1:]:
            sizes.append(-(-sizes[-1] // 2))
        widths, areas = self._widths, [size * size for size in sizes]
        stem = 9 * self.shape.channels * self.channels * areas[0]
        cells = self.layers * sum(_kernels(genotype) * w * w * area for w, area in zip(widths, areas))
        blocks = sum((9 * a * b + 9 * b * b + a * b) * area for a, b, area in zip(widths, widths[1:], areas[1:]))
        return stem + cells + blocks + (widths[-1] + 1) * self.shape.classes

    @property
    def _widths(self) -> list[int]:
        return [self.channels * width for width in WIDTHS[: self.stages]]

    def _network(self, inside: MakeCell) -> StagedNetwork:
        return StagedNetwork(self.shape, self._widths, self.layers, self.stem_stride, inside)


def _kernels(genotype: NASBench201Genotype) -> int:
    """Return how often an input channel is multiplied for an output channel at each pixel, over all edges."""
    return genotype.ops.count("nor_conv_1x1") + 9 * genotype.ops.count("nor_conv_3x3")


def _convolutions(genotype: NASBench201Genotype) -> int:
    return genotype.ops.count("nor_conv_1x1") + genotype.ops.count("nor_conv_3x3")


def _require_architecture(genotype: Any) -> None:
    if not isinstance(genotype, NASBench201Genotype):
        raise SpaceError(f"NAS-Bench-201 needs an architecture string |op~0|+..., not a {type(genotype).__name__}")


def make(options: SpaceOptions) -> NASBench201Space:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set holds no images, or the options do not fit.
    """
    options.require(ImageShape, "images", HEADS)
    own = options.own_as(NASBench201Options)
    if own.nodes != NASBENCH201_STATES:
        raise SpaceError(f"`space.nodes` is {own.nodes}; NAS-Bench-201's cell has {NASBENCH201_STATES} states")
    if not 1 <= own.stages <= len(WIDTHS):
        raise SpaceError(f"`space.stages` is {own.stages}; it must be from 1 to {len(WIDTHS)}")
    if own.stem not in STEMS:
        raise SpaceError(f"`space.stem` is {own.stem}; NAS-Bench-201 has {', '.join(STEMS)}")
    return NASBench201Space(
        shape=options.shape,
        channels=options.channels,
        layers=options.layers,
        candidates=options.kept(NASBENCH201_OPS),
        partial=options.partial,
        allowed=options.allowed,
        stages=own.stages,
        stem_stride=STEMS[own.stem],
    )


ENTRY = SpaceEntry(make, NASBench201Genotype, NASBench201Options)
