"""Networks like MobileNetV3 and EfficientNet: depth and width of each stage; kernel, expansion, squeeze-and-excitation
and activation of each block; stem and head (Howard et al. 2019, table 1; Tan and Le 2019, table 1).

``EFFICIENTNET_B0`` and ``MOBILENET_V3_LARGE`` are architectures of the space. There is no supernet: the shapes of a
block depend on the widths of its stage and of the one before.

Axes: ``b`` batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from genotypes.types.choices import ChoicesGenotype
from supernet.choice import ChoiceTable
from supernet.errors import SpaceError
from supernet.shapes import ImageShape
from supernet.spaces.choices import ChoicesSpace, at_least, choice_table
from supernet.spaces.mobile.blocks import (
    ACTIVATIONS,
    ConvBN,
    Inverted,
    InvertedResidual,
    SqueezeExcitation,
    divisible,
)
from supernet.spaces.space import SpaceEntry, SpaceOptions

WIDTH = 16
"""``channels`` of the published networks."""

FEATURES = 1280
"""Channels before the classifier."""


@dataclass(frozen=True)
class Stage:
    """The choices of one stage.

    Attributes:
        widths: channels of its blocks' outputs.
        depths: numbers of blocks; 0 leaves the stage out.
        stride: of its first block.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int


STAGES = (
    Stage((16, 24), (1, 2), 1),
    Stage((24, 32), (1, 2, 3, 4), 2),
    Stage((40, 48), (1, 2, 3, 4), 2),
    Stage((80, 96), (1, 2, 3, 4), 2),
    Stage((96, 112), (1, 2, 3, 4), 1),
    Stage((160, 192), (1, 2, 3, 4), 2),
    Stage((320,), (0, 1), 1),
)
KERNELS, EXPANSIONS = (3, 5), (1.0, 2.3, 2.5, 3.0, 4.0, 6.0)
SQUEEZES = ("none", "of_input", "of_hidden")
"""Squeeze-and-excitation: none; a quarter of the block's input channels, with SiLU and sigmoid, as in EfficientNet; a
quarter of its hidden channels, with ReLU and hard sigmoid, as in MobileNetV3."""

HEADS = ("convolution", "linear")
"""The last layers: a convolution to 1,280 channels, as in EfficientNet; or a convolution to six times the channels and
a linear layer to 1,280 features, as in MobileNetV3."""


class Network(nn.Module):
    """The network of an architecture.

    Args:
        shape: of the images and the number of classes.
        kept: label -> the candidate that is kept.
        scale: factor of all widths.
    """

    def __init__(self, shape: ImageShape, kept: dict[str, str], scale: float):
        super().__init__()
        last_act = "silu" if kept["head"] == "convolution" else "hard_swish"
        channels = _scaled(int(kept["stem"]), scale)
        self.stem = ConvBN(shape.channels, channels, kernel=3, stride=2, activation=last_act)
        blocks: list[nn.Module] = []
        for index, stage in enumerate(STAGES, 1):
            for block in range(int(kept[f"stage{index}.depth"])):
                width = _scaled(int(kept[f"stage{index}.width"]), scale)
                options = _inverted(kept, f"stage{index}.block{block}", channels)
                blocks.append(InvertedResidual(channels, width, 1 if block else stage.stride, options))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        features = _scaled(FEATURES, scale)
        between = features if kept["head"] == "convolution" else 6 * channels
        self.last = ConvBN(channels, between, activation=last_act)
        self.features = nn.Linear(between, features) if kept["head"] == "linear" else None
        self.classifier = nn.Linear(features, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, ``(b, classes)``, of images ``(b, c, h, w)``."""
        x = self.last(self.blocks(self.stem(x))).mean((2, 3))
        return self.classifier(x if self.features is None else F.hardswish(self.features(x)))


def _inverted(kept: dict[str, str], label: str, channels: int) -> Inverted:
    """Return the options of a block that reads so many channels."""
    squeezed = kept[f"{label}.squeeze"]
    squeeze: Callable[[int], SqueezeExcitation] | None = None
    if squeezed == "of_input":
        squeeze = partial(_squeeze_of_input, squeezed=max(1, channels // 4))
    elif squeezed == "of_hidden":
        squeeze = _squeeze_of_hidden
    expansion = float(kept[f"{label}.expansion"])
    hidden = channels if expansion == 1 else divisible(expansion * channels)
    return Inverted(int(kept[f"{label}.kernel"]), hidden, kept[f"{label}.activation"], squeeze)


def _squeeze_of_input(channels: int, squeezed: int) -> SqueezeExcitation:
    return SqueezeExcitation(channels, squeezed, nn.SiLU(), nn.Sigmoid())


def _squeeze_of_hidden(channels: int) -> SqueezeExcitation:
    return SqueezeExcitation(channels, divisible(channels // 4), nn.ReLU(), nn.Hardsigmoid())


def _scaled(channels: int, scale: float) -> int:
    return channels if scale == 1 else divisible(channels * scale)


@dataclass(frozen=True)
class MobileNetSpace(ChoicesSpace):
    """The space of these networks.

    Attributes:
        shape: of the images and the number of classes.
        channels: the published networks' widths are those of 16; others multiply all widths.
        layers: largest number of blocks of a stage; 4 at most.
    """

    has_supernet: ClassVar[bool] = False
    name: ClassVar[str] = "mobilenet"

    shape: ImageShape
    channels: int = WIDTH
    layers: int = 4

    @cached_property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """One table of one row for each decision; those of a block take part where its stage is deep enough."""
        return tuple(self._tables())

    def _tables(self) -> Iterator[ChoiceTable]:
        yield choice_table("stem", (16, 32))
        for index, stage in enumerate(STAGES, 1):
            depth, depths = f"stage{index}.depth", [depth for depth in stage.depths if depth <= self.layers]
            yield choice_table(depth, depths)
            yield choice_table(f"stage{index}.width", stage.widths, at_least(depth, depths, 1))
            for block in range(max(depths)):
                deep = at_least(depth, depths, block + 1)
                for name, candidates in (
                    ("kernel", KERNELS),
                    ("expansion", EXPANSIONS),
                    ("squeeze", SQUEEZES),
                    ("activation", tuple(ACTIVATIONS)),
                ):
                    yield choice_table(f"stage{index}.block{block}.{name}", candidates, deep)
        yield choice_table("head", HEADS)

    def supernet(self, backend: str = "batched") -> nn.Module:
        """Refuse: there is no supernet.

        Raises:
            SpaceError: always.
        """
        raise SpaceError("the space mobilenet has no supernet, as widths are chosen: set `space.name` mobile")

    def network(self, genotype: ChoicesGenotype, auxiliary: bool = False, searched: bool = False) -> Network:
        """Return the network of an architecture, whether ``searched`` or not.

        Raises:
            SpaceError: where the genotype is of another space, or an auxiliary head is asked for.
        """
        kept = self.kept(genotype)
        if auxiliary:
            raise SpaceError("networks of this space have no auxiliary head: set `auxiliary` 0")
        return Network(self.shape, kept, self.channels / WIDTH)

    def inherit(self, network: Any, supernet: Any, genotype: Any) -> None:
        """Refuse: there is no supernet.

        Raises:
            SpaceError: always.
        """
        raise SpaceError("the space mobilenet has no supernet, so there are no weights to inherit")

    def figures(self, genotype: ChoicesGenotype) -> dict[str, Any]:
        """Return the number of blocks."""
        return {"blocks": sum(int(name) for label, name in self.kept(genotype).items() if label.endswith(".depth"))}


def _described(
    stem: int, head: str, stages: Sequence[tuple[int, Sequence[tuple[int, float, str, str]]]]
) -> ChoicesGenotype:
    """Return an architecture from each stage's width and its blocks' kernel, expansion, squeeze and activation."""
    pairs = [("stem", str(stem))]
    for index, (width, blocks) in enumerate(stages, 1):
        pairs.append((f"stage{index}.depth", str(len(blocks))))
        pairs += [(f"stage{index}.width", str(width))] if blocks else []
        for block, (kernel, expansion, squeeze, activation) in enumerate(blocks):
            names = {"kernel": str(kernel), "expansion": f"{expansion:g}", "squeeze": squeeze, "activation": activation}
            pairs += [(f"stage{index}.block{block}.{name}", value) for name, value in names.items()]
    return ChoicesGenotype(tuple((label, (name,)) for label, name in (*pairs, ("head", head))))


EFFICIENTNET_B0 = _described(
    32,
    "convolution",
    [
        (width, [(kernel, expansion, "of_input", "silu")] * depth)
        for width, kernel, expansion, depth in (
            (16, 3, 1, 1),
            (24, 3, 6, 2),
            (40, 5, 6, 2),
            (80, 3, 6, 3),
            (112, 5, 6, 3),
            (192, 5, 6, 4),
            (320, 3, 6, 1),
        )
    ],
)
"""EfficientNet-B0 (Tan and Le 2019, table 1)."""

MOBILENET_V3_LARGE = _described(
    16,
    "linear",
    [
        (16, [(3, 1, "none", "relu")]),
        (24, [(3, 4, "none", "relu"), (3, 3, "none", "relu")]),
        (40, [(5, 3, "of_hidden", "relu")] * 3),
        (80, [(3, expansion, "none", "hard_swish") for expansion in (6, 2.5, 2.3, 2.3)]),
        (112, [(3, 6, "of_hidden", "hard_swish")] * 2),
        (160, [(5, 6, "of_hidden", "hard_swish")] * 3),
        (320, []),
    ],
)
"""MobileNetV3-Large (Howard et al. 2019, table 1)."""


def make(options: SpaceOptions) -> MobileNetSpace:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set holds no images, or options do not apply.
    """
    options.require(ImageShape, "images")
    if options.partial > 1 or options.without:
        raise SpaceError("partial channels and operations left out do not apply to the space mobilenet")
    return MobileNetSpace(options.shape, options.channels, min(options.layers, MobileNetSpace.layers))


ENTRY = SpaceEntry(make, ChoicesGenotype)
