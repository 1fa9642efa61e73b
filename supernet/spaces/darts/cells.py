"""Networks of stacked cells: one class for search and retraining, for CIFAR and ImageNet.

A network is a stem, a stack of cells of which two reduce the size and double the width, and a linear head
(Liu et al. 2019, section 3.1 and appendix A). Supernet and derived networks differ inside the cells alone: a graph of
mixed operations that takes gates, or the operations of a genotype.

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``e`` edge, ``o`` candidate.
"""

from collections.abc import Callable, MutableSequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genotypes import Cell as CellWiring
from supernet.choice import Gates, bias_of, edges_of, skip_of
from supernet.heads import Level, head
from supernet.mixed.graph import MixedGraph
from supernet.mixed.source import Make
from supernet.network import DropPath, Logits
from supernet.ops import BatchNorm, FactorizedReduce, ReLUConvBN
from supernet.shapes import ImageShape

Stem = Literal["cifar", "strided", "imagenet", "imagenet_wide"]

STRIDES: dict[str, int] = {"cifar": 1, "strided": 2, "imagenet": 8, "imagenet_wide": 8}
"""Stem -> the number by which it divides the image's size."""


class MixedCell(nn.Module):
    """The inside of a supernet's cell.

    Args:
        label: of the cell's table of gates.
        graph: of the mixed operations.
        concat: how many of the last states are concatenated.
    """

    def __init__(self, label: str, graph: MixedGraph, concat: int):
        super().__init__()
        self.label, self.graph = label, graph
        self.width = concat

    def forward(self, s0: Tensor, s1: Tensor, gates: Gates | None, drop_path: DropPath | None) -> Tensor:
        assert gates is not None, "a supernet is called with gates"
        states = self.graph(
            [s0, s1],
            gates[self.label],
            edges=gates.get(edges_of(self.label)),
            skip=gates.get(skip_of(self.label)),
            bias=gates.get(bias_of(self.label)),
            drop_path=drop_path if self.training else None,
        )
        return states.concatenated(self.width)


class DerivedCell(nn.Module):
    """The inside of a derived cell: the operations of a genotype's cell.

    Nodes without an input, and edges that start at them, are not built. ``width`` is the number of states that are
    concatenated.

    Args:
        wiring: of the genotype.
        channels: of each state.
        reduction: whether the edges from the cell's inputs have stride 2.
        make: builds an operation from its name, channels and stride.
    """

    def __init__(self, wiring: CellWiring, channels: int, reduction: bool, make: Make):
        super().__init__()
        alive = wiring.alive
        self.nodes = tuple(tuple(edge.source for edge in edges if edge.source in alive) for edges in wiring.nodes)
        self.outputs = wiring.outputs
        self.width = len(self.outputs)
        kept = [edge for edges in wiring.nodes for edge in edges if edge.source in alive]
        strides = [2 if reduction and edge.source < 2 else 1 for edge in kept]
        self.ops = nn.ModuleList(make(edge.op, channels, stride) for edge, stride in zip(kept, strides))

    def forward(self, s0: Tensor, s1: Tensor, gates: Gates | None, drop_path: DropPath | None) -> Tensor:
        # The state of a node without an input is missing; no edge starts at it, and it is not concatenated.
        states: list[Any] = [s0, s1]
        ops = iter(self.ops)
        for sources in self.nodes:
            total = None
            for source in sources:
                op = next(ops)
                y = op(states[source])
                if drop_path is not None and not isinstance(op, nn.Identity):
                    y = drop_path(y)
                total = y if total is None else total + y
            states.append(total)
        return torch.cat([states[state] for state in self.outputs], dim=1)


class Cell(nn.Module):
    """A cell: both inputs are brought to its width and size, then to its inside."""

    def __init__(self, c0: int, c1: int, channels: int, reduced: bool, affine: bool, inside: MixedCell | DerivedCell):
        super().__init__()
        self.preprocess0 = (FactorizedReduce if reduced else ReLUConvBN)(c0, channels, affine)
        self.preprocess1 = ReLUConvBN(c1, channels, affine)
        self.inside = inside

    def forward(self, s0: Tensor, s1: Tensor, gates: Gates | None, drop_path: DropPath | None) -> Tensor:
        return self.inside(self.preprocess0(s0), self.preprocess1(s1), gates, drop_path)


class CIFARStem(nn.Module):
    """One convolution, at full size unless strided; both cell inputs are its output."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(self.conv(x))
        return x, x


class ImageNetStem(nn.Module):
    """Three convolutions of stride 2; the cell inputs are a quarter and an eighth of the image's size."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv0 = nn.Conv2d(channels_in, channels // 2, 3, 2, 1, bias=False)
        self.norm0 = BatchNorm(channels // 2)
        self.conv1 = nn.Conv2d(channels // 2, channels, 3, 2, 1, bias=False)
        self.norm1 = BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 2, 1, bias=False)
        self.norm2 = BatchNorm(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.norm0(self.conv0(x)))
        s0 = self.norm1(self.conv1(x))
        return s0, self.norm2(self.conv2(F.relu(s0)))


class AuxiliaryHead(nn.Module):
    """A second classifier on the output of the last reduction cell, for training only (NASNet, Zoph et al. 2018).

    The average pooling is that of DARTS for feature maps of CIFAR's or ImageNet's size, and adaptive for others. The
    head for ImageNet has no BatchNorm behind its last convolution, as in the paper's experiments.
    """

    def __init__(self, channels: int, side: int, classes: int, stem: Stem):
        super().__init__()
        imagenet = stem.startswith("imagenet")
        assumed, stride = (7, 2) if imagenet else (8, 3)
        self.pool = nn.AvgPool2d(5, stride) if side == assumed else nn.AdaptiveAvgPool2d(2)
        self.conv0 = nn.Conv2d(channels, 128, 1, bias=False)
        self.norm0 = BatchNorm(128)
        self.conv1 = nn.Conv2d(128, 768, 2, bias=False)
        self.norm1 = nn.Identity() if imagenet else BatchNorm(768)
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm0(self.conv0(self.pool(x))))
        return self.classifier(F.relu(self.norm1(self.conv1(x))).flatten(1))


class Network(nn.Module):
    """A network of stem, cells and head.

    Args:
        shape: of the images, the number of classes and what is predicted; see ``supernet.heads``.
        channels: width of the first cells; doubled at each of the two reductions.
        layers: number of cells; those at ``layers // 3`` and ``2 * layers // 3`` reduce.
        stem: ``cifar`` keeps the image's size, ``strided`` halves it, ``imagenet`` divides it by 8; ``imagenet_wide``
            as well, three times as wide.
        inside: builds the inside of a cell from its width and whether it reduces.
        affine: whether the cells' BatchNorm learns a scale and shift.
        auxiliary: whether to build the auxiliary head.
    """

    def __init__(
        self,
        shape: ImageShape,
        channels: int,
        layers: int,
        stem: Stem,
        inside: Callable[[int, bool], MixedCell | DerivedCell],
        affine: bool = True,
        auxiliary: bool = False,
    ):
        super().__init__()
        self.stem: CIFARStem | ImageNetStem
        if stem.startswith("imagenet"):
            c0 = c1 = 3 * channels if stem == "imagenet_wide" else channels
            self.stem, reduced = ImageNetStem(shape.channels, c0), True
        else:
            c0 = c1 = 3 * channels
            self.stem, reduced = CIFARStem(shape.channels, c0, STRIDES[stem]), False
        side, stride = -(-shape.size // STRIDES[stem]), STRIDES[stem]
        self.auxiliary_after = 2 * layers // 3
        self.reductions = (layers // 3, self.auxiliary_after)
        levels: list[Level] = []
        self.cells = cast(MutableSequence[Cell], nn.ModuleList())
        self.auxiliary_head: AuxiliaryHead | None = None
        for index in range(layers):
            reduction = index in self.reductions
            if reduction:
                levels.append(Level(c1, stride))
                channels, side, stride = 2 * channels, -(-side // 2), 2 * stride
            body = inside(channels, reduction)
            self.cells.append(Cell(c0, c1, channels, reduced, affine, body))
            c0, c1, reduced = c1, body.width * channels, reduction
            if auxiliary and index == self.auxiliary_after:
                self.auxiliary_head = AuxiliaryHead(c1, side, shape.classes, stem)
        self.classifier = head(shape, [*levels, Level(c1, stride)])

    @property
    def paths(self) -> int:
        """The number of calls of ``drop_path`` on a batch in a derived network."""
        derived = [cell.inside for cell in self.cells if isinstance(cell.inside, DerivedCell)]
        return sum(not isinstance(op, nn.Identity) for inside in derived for op in inside.ops)

    def forward(self, x: Tensor, gates: Gates | None = None, drop_path: DropPath | None = None) -> Tensor | Logits:
        """Return what the head predicts, such as the logits of the classes, ``(b, classes)``; in training with an
        auxiliary head, the logits of both heads.

        Args:
            x: images, ``(b, c, h, w)``.
            gates: of the supernet's tables, each ``(e, o)``; a derived network takes none.
            drop_path: is applied to the paths of a derived network, or to the edges of a supernet while it trains.
        """
        s0, s1 = self.stem(x)
        auxiliary, levels = None, []
        for index, cell in enumerate(self.cells):
            if self.classifier.reads_all_levels and index in self.reductions:
                levels.append(s1)
            s0, s1 = s1, cell(s0, s1, gates, drop_path)
            if self.training and self.auxiliary_head is not None and index == self.auxiliary_after:
                # The original applies this ReLU in place, so the main path sees it too. Cells begin with a ReLU;
                # it shows only where the head follows at once.
                s1 = F.relu(s1)
                auxiliary = self.auxiliary_head(s1)
        scores = self.classifier([*levels, s1])
        return scores if auxiliary is None else Logits(scores, auxiliary)
