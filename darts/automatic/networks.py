"""The search spaces of ``darts.fit``: modules with choices for tables, images and texts; the model of several networks.

Axes: ``b`` example, ``f`` feature, ``c`` channel, ``h w`` space, ``t`` token, ``k`` output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from darts.automatic.examples.images import ImageEncoder
from darts.automatic.examples.inputs import Encoder
from darts.automatic.examples.tables import TableEncoder
from darts.automatic.examples.targets import Target
from supernet.layer_choice import LayerChoice
from supernet.shapes import TextShape
from supernet.spaces import SPACES
from supernet.spaces.modules import ModuleSpace
from supernet.spaces.space import SpaceOptions

LARGEST_DEVIATION = 10.0
"""Standardized numbers are cut off here: an outlier of a new table does not decide everything."""


class TableInput(nn.Module):
    """Standardizes the numbers of an encoded table, with a flag for those that are missing, and spreads categories.

    Args:
        encoder: of the table.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: TableEncoder):
        super().__init__()
        columns = list(enumerate(encoder.columns))
        self.numbers = [k for k, column in columns if column.categories is None]
        self.flags = [place for place, k in enumerate(self.numbers) if encoder.columns[k].missing]
        self.sizes = [(k, len(column.categories)) for k, column in columns if column.categories is not None]
        moments = [(encoder.columns[k].mean, encoder.columns[k].std) for k in self.numbers]
        for name, values in (("mean", [mean for mean, _ in moments]), ("std", [std for _, std in moments])):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return features ``(b, f)`` float32 of an encoded table ``(b, columns)`` float64."""
        parts = []
        if self.numbers:
            numbers = x[:, self.numbers]
            absent = torch.isnan(numbers)
            values = (torch.where(absent, self.mean, numbers) - self.mean) / self.std
            parts.append(values.clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION).float())
            if self.flags:
                parts.append(absent[:, self.flags].float())
        for k, size in self.sizes:
            parts.append((x[:, k : k + 1] == torch.arange(size, dtype=x.dtype, device=x.device)).float())
        return torch.cat(parts, 1)


class ImageInput(nn.Module):
    """Normalizes images by the mean and deviation of each channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: ImageEncoder):
        super().__init__()
        self.register_buffer("mean", torch.tensor(encoder.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(encoder.std)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return normalized images ``(b, c, h, w)`` of images of any type, channels-last: convolutions are faster."""
        return ((x.float() - self.mean) / self.std).to(memory_format=torch.channels_last)


Common = tuple[LayerChoice, LayerChoice, LayerChoice]
"""Activation, dropout and connection, which have no weights: one module of each serves a whole network."""


class DenseBlock(nn.Module):
    """A linear layer with a chosen normalization, activation, dropout and connection; the width stays."""

    def __init__(self, width: int, common: Common):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = _norm(nn.BatchNorm1d(width), nn.LayerNorm(width))
        self.activation, self.dropout, self.connection = common

    def forward(self, x: Tensor) -> Tensor:
        return self.connection(self.dropout(self.activation(self.norm(self.linear(x)))), x)


class DenseTower(nn.Module):
    """A dense network of one width and a chosen depth: the first blocks of four."""

    def __init__(self, features: int, width: int, outputs: int, common: Common):
        super().__init__()
        self.first = nn.Linear(features, width)
        self.norm = _norm(nn.BatchNorm1d(width), nn.LayerNorm(width))
        self.activation, self.dropout, _ = common
        blocks = [DenseBlock(width, common) for _ in range(3)]
        self.blocks = LayerChoice({str(k + 1): nn.Sequential(*blocks[:k]) for k in range(4)}, "depth")
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.dropout(self.activation(self.norm(self.first(x))))))


class TableNet(nn.Module):
    """A dense network: linear, or of chosen width, depth, normalization, activation, dropout and connections."""

    def __init__(self, features: int, outputs: int, widths: Sequence[int] = (32, 128, 256)):
        super().__init__()
        towers: dict[str, nn.Module] = {"linear": nn.Linear(features, outputs)}
        common = _activation(), _dropout(), LayerChoice({"plain": _First(), "residual": _Sum()}, "connection")
        towers |= {str(width): DenseTower(features, width, outputs, common) for width in widths}
        self.width = LayerChoice(towers, "width")

    def forward(self, x: Tensor) -> Tensor:
        return self.width(x)


class ImageStage(nn.Module):
    """A convolution to the stage's width, then a chosen block, then a chosen pooling to half the size."""

    def __init__(self, before: int, channels: int, label: str, pooled: bool):
        super().__init__()
        self.first = _convolution(before, channels, 3)
        blocks = {
            "none": nn.Identity(),
            "3x3": _convolution(channels, channels, 3),
            "5x5": _convolution(channels, channels, 5),
            "residual": _Residual(
                nn.Sequential(_convolution(channels, channels, 3), _convolution(channels, channels, 3))
            ),
            "separable": _Residual(_separable(channels)),
        }
        self.block = LayerChoice(blocks, f"{label}.block")
        pools = {"max": nn.MaxPool2d(2, ceil_mode=True), "average": nn.AvgPool2d(2, ceil_mode=True)}
        self.pool = LayerChoice(pools, "pooling") if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.block(self.first(x)))


class ImageTower(nn.Module):
    """A convolutional network of one width: its stages double it and halve the images."""

    def __init__(self, channels: int, side: int, width: int, outputs: int):
        super().__init__()
        stem: list[nn.Module] = [_convolution(channels, width, 3)]
        while side > 20:
            stem.append(nn.MaxPool2d(2, ceil_mode=True))
            side = -(-side // 2)
        self.stem = nn.Sequential(*stem)
        stages = []
        for number in range(2):
            before, width = width, width * (2 if number else 1)
            stages.append(ImageStage(before, width, f"stage{number}", side > 3))
            side = -(-side // 2) if side > 3 else side
        self.stages = nn.Sequential(*stages)
        self.dropout = _dropout()
        heads = {
            "average": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs)),
            "grid": nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, outputs)),
        }
        self.head = LayerChoice(heads, "head")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.stages(self.stem(x))))


class ImageNet(nn.Module):
    """A convolutional network for images of any size, of chosen width, blocks, pooling, dropout and head."""

    def __init__(self, channels: int, side: int, outputs: int, widths: Sequence[int] = (16, 32, 64)):
        super().__init__()
        towers = {str(width): ImageTower(channels, side, width, outputs) for width in widths}
        self.width = LayerChoice(towers, "width")

    def forward(self, x: Tensor) -> Tensor:
        return self.width(x)


class _First(nn.Module):
    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y


class _Sum(nn.Module):
    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y + x


class _Residual(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _norm(batch: nn.Module, layer: nn.Module) -> LayerChoice:
    return LayerChoice({"batch": batch, "layer": layer, "none": nn.Identity()}, "normalization")


def _activation() -> LayerChoice:
    return LayerChoice({"relu": nn.ReLU(), "silu": nn.SiLU(), "tanh": nn.Tanh()}, "activation")


def _dropout() -> LayerChoice:
    return LayerChoice({str(p): nn.Dropout(p) for p in (0.0, 0.1, 0.25, 0.5)}, "dropout")


def _convolution(before: int, after: int, kernel: int) -> nn.Sequential:
    layers = (nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU())
    return nn.Sequential(*layers)


def _separable(channels: int) -> nn.Sequential:
    depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())


TABLE_START = {"width": "128", "depth": "2", "normalization": "batch", "activation": "relu", "dropout": "0.1"}
IMAGE_START = {"width": "32", "stage0.block": "residual", "stage1.block": "residual", "dropout": "0.1", "head": "grid"}
TEXT_START = {"block0.left.layer": "convolution_3", "block0.right.layer": "nothing"}


@dataclass(frozen=True)
class FitSpace:
    """A search space of ``darts.fit``.

    Attributes:
        space: of the model with choices.
        stem: turns encoded examples into what the networks read.
        start: label -> candidate of the architecture that is tried first.
    """

    space: ModuleSpace
    stem: nn.Module
    start: dict[str, str]


def space_for(encoder: Encoder, target: Target) -> FitSpace:
    """Return the search space for encoded examples and a target."""
    outputs = target.outputs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(encoder, TableEncoder):
            table = partial(TableNet, encoder.features, outputs)
            return FitSpace(ModuleSpace(table(), fresh=table), TableInput(encoder), TABLE_START)
        if isinstance(encoder, ImageEncoder):
            side = max(encoder.height, encoder.width)
            images = partial(ImageNet, encoder.channels, side, outputs)
            return FitSpace(ModuleSpace(images(), fresh=images), ImageInput(encoder), IMAGE_START)
        options = SpaceOptions(TextShape(encoder.words, encoder.length, outputs), channels=32, layers=1)
        space = SPACES["textnet"].make(options)
        assert isinstance(space, ModuleSpace)
        return FitSpace(space, nn.Identity(), TEXT_START)


class Averaged(nn.Module):
    """A trained model: the mean of what several networks predict, such as those of the folds of a cross-validation.

    Args:
        stem: turns encoded examples into what the networks read.
        networks: of one architecture.
        target: what is predicted.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, stem: nn.Module, networks: Sequence[nn.Module], target: Target):
        super().__init__()
        self.stem, self.networks, self.task = stem, nn.ModuleList(networks), target.task
        self.register_buffer("mean", torch.tensor(target.mean))
        self.register_buffer("std", torch.tensor(target.std))

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities of classes or labels, or numbers, ``(b, k)``, of encoded examples."""
        features = self.stem(x)
        outputs = [predicted(network(features), self.task) for network in self.networks]
        mean = torch.stack(outputs).mean(0)
        return mean * self.std + self.mean if self.task == "regression" else mean


def predicted(outputs: Tensor, task: str) -> Tensor:
    """Return probabilities of a network's outputs; numbers as they are."""
    if task == "classification":
        return outputs.softmax(1)
    return outputs.sigmoid() if task == "multilabel" else outputs
