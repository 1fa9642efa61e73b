"""A convolutional network with choices, for small images: a model as a search space.

For each block it chooses a convolutional or a dense body, the convolution's kernel size and hidden width, and how the
block is connected to those before it; and once for all blocks the activation and the normalization.

Axes: ``b`` batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import MutableSequence, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from genotypes.types.choices import ChoicesGenotype
from supernet.layer_choice import LayerChoice
from supernet.shapes import ImageShape
from supernet.spaces.modules import ModuleSpace, space_of_model
from supernet.spaces.space import SpaceEntry, SpaceOptions


class Convolution(nn.Module):
    """A convolution of chosen kernel size and width, an activation, and a projection to the width of the input."""

    def __init__(self, channels: int, label: str):
        super().__init__()
        factors = {"half": 0.5, "same": 1.0, "double": 2.0}
        widths = {name: max(1, round(factor * channels)) for name, factor in factors.items()}
        kernels = {f"{k}x{k}": k for k in (3, 5, 7)}
        self.body = LayerChoice(
            {
                name: nn.Sequential(
                    LayerChoice(
                        {kernel: nn.Conv2d(channels, width, k, padding=k // 2) for kernel, k in kernels.items()},
                        f"{label}.kernel",
                    ),
                    activation(),
                    nn.Conv2d(width, channels, 1),
                )
                for name, width in widths.items()
            },
            f"{label}.width",
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Dense(nn.Module):
    """A linear layer over all pixels, shared by the channels."""

    def __init__(self, size: int):
        super().__init__()
        self.linear = nn.Linear(size * size, size * size)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(2)).unflatten(2, x.shape[2:])


class Plain(nn.Module):
    """The output of a block, without a connection."""

    def forward(self, y: Tensor, before: list[Tensor]) -> Tensor:
        return y


class Skip(nn.Module):
    """The sum of a block's input and output (He et al. 2016)."""

    def forward(self, y: Tensor, before: list[Tensor]) -> Tensor:
        return y + before[-1]


class DenseConnection(nn.Module):
    """All outputs so far, concatenated (Huang et al. 2017) and projected to the width of one."""

    def __init__(self, channels: int, count: int):
        super().__init__()
        self.project = nn.Conv2d(count * channels, channels, 1)

    def forward(self, y: Tensor, before: list[Tensor]) -> Tensor:
        return self.project(torch.cat([y, *before], 1))


class Block(nn.Module):
    """A block: a chosen body, normalization, activation and connection."""

    def __init__(self, channels: int, size: int, count: int, label: str):
        super().__init__()
        bodies = {"convolution": Convolution(channels, label), "dense": Dense(size)}
        self.body = LayerChoice(bodies, f"{label}.block")
        norms = {"batch": nn.BatchNorm2d(channels), "group": nn.GroupNorm(1, channels), "none": nn.Identity()}
        self.normalization = LayerChoice(norms, "normalization")
        self.activation = activation()
        connections = {"plain": Plain(), "skip": Skip(), "dense": DenseConnection(channels, count + 1)}
        self.connection = LayerChoice(connections, f"{label}.connection")

    def forward(self, before: list[Tensor]) -> Tensor:
        return self.connection(self.activation(self.normalization(self.body(before[-1]))), before)


class ConvNet(nn.Module):
    """A network of two stages of blocks; the second has half the size and twice the width.

    Args:
        shape: of the images and the number of classes.
        channels: width of the first stage.
        layers: number of blocks in each stage.
    """

    stages: MutableSequence[Sequence[nn.Module]]

    def __init__(self, shape: ImageShape, channels: int = 16, layers: int = 2):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(shape.channels, channels, 3, padding=1), nn.BatchNorm2d(channels))
        self.stages = cast(MutableSequence[Sequence[nn.Module]], nn.ModuleList())
        self.halvings = nn.ModuleList()
        size = shape.size
        for stage in range(2):
            width_in, channels = channels, channels * (1 + stage)
            size = -(-size // 2)
            halving = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(width_in, channels, 1))
            self.halvings.append(halving)
            blocks = [Block(channels, size, 1 + k, f"block{stage * layers + k}") for k in range(layers)]
            self.stages.append(cast(Sequence[nn.Module], nn.ModuleList(blocks)))
        self.classifier = nn.Linear(4 * channels, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, ``(b, classes)``, of images ``(b, c, h, w)``."""
        x = self.stem(x)
        for halving, stage in zip(self.halvings, self.stages):
            states = [halving(x)]
            for block in stage:
                states.append(block(states))
            x = states[-1]
        return self.classifier(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


def activation() -> LayerChoice:
    """Return the activation: one decision for the whole network."""
    return LayerChoice({"relu": nn.ReLU(), "gelu": nn.GELU(), "tanh": nn.Tanh()}, "activation")


def _build(options: SpaceOptions) -> ConvNet:
    return ConvNet(options.shape, options.channels, options.layers)


def make(options: SpaceOptions) -> ModuleSpace:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set is of another kind, or the options do not apply.
    """
    return space_of_model(_build, options, ImageShape, "images")


ENTRY = SpaceEntry(make, ChoicesGenotype)
