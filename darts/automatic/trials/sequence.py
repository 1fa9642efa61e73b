"""A list of layers as a search space: how many of them, and which in what order; shapes follow by themselves.

    space = darts.Sequence([darts.Dense(64), darts.Dense(128), darts.Conv2d(32, 3)], depth=(1, 4))
    result = darts.search(space, data, method=darts.Genetic(population=100, mutation_rate=0.1))

A layer stands only where its input fits: a dense layer flattens images, and no convolution follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from darts.blackbox.points import Decision
from darts.config.types_in_words import fits
from darts.errors import UserError
from genotypes.types.choices import ChoicesGenotype

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}

Shape = tuple[int, ...]
"""Of an example: ``(features,)``, or ``(channels, height, width)``."""

DEPTH = "depth"

OF = " of "
"""In the name of a decision, between the place and the layers that fit there, where these are not all: to Optuna, one
name is one set of values."""


class Layer(Protocol):
    """A layer of a list."""

    @property
    def name(self) -> str:
        """Its name in genotypes."""

    def shape(self, before: Shape) -> Shape | None:
        """Return the shape of its output; None where it cannot follow."""

    def build(self, before: Shape) -> list[nn.Module]:
        """Return its modules."""


@dataclass(frozen=True)
class Dense:
    """A linear layer of so many units with an activation."""

    units: int
    activation: str = "relu"

    @property
    def name(self) -> str:
        return f"dense_{self.units}_{self.activation}"

    def shape(self, before: Shape) -> Shape | None:
        return (self.units,)

    def build(self, before: Shape) -> list[nn.Module]:
        return [*_flat(before), nn.Linear(_size(before), self.units), ACTIVATIONS[self.activation]()]


@dataclass(frozen=True)
class Conv2d:
    """A convolution with an activation; the size of the image stays."""

    filters: int
    kernel: int = 3
    activation: str = "relu"

    @property
    def name(self) -> str:
        return f"conv2d_{self.filters}_{self.kernel}_{self.activation}"

    def shape(self, before: Shape) -> Shape | None:
        return (self.filters, *before[1:]) if len(before) == 3 else None

    def build(self, before: Shape) -> list[nn.Module]:
        convolution = nn.Conv2d(before[0], self.filters, self.kernel, padding="same")
        return [convolution, ACTIVATIONS[self.activation]()]


@dataclass(frozen=True)
class MaxPool2d:
    """A pooling to 1/size of the image's sides."""

    size: int = 2

    @property
    def name(self) -> str:
        return f"max_pool2d_{self.size}"

    def shape(self, before: Shape) -> Shape | None:
        if len(before) != 3 or min(before[1:]) < self.size:
            return None
        return before[0], before[1] // self.size, before[2] // self.size

    def build(self, before: Shape) -> list[nn.Module]:
        return [nn.MaxPool2d(self.size)]


@dataclass(frozen=True)
class Dropout:
    """Dropout with this probability."""

    p: float

    @property
    def name(self) -> str:
        return f"dropout_{self.p:g}"

    def shape(self, before: Shape) -> Shape | None:
        return before

    def build(self, before: Shape) -> list[nn.Module]:
        return [nn.Dropout(self.p)]


@dataclass(frozen=True)
class Sequence:
    """A list of layers to choose from, for each of several places.

    Attributes:
        layers: to choose from; ``Dense``, ``Conv2d``, ``MaxPool2d``, ``Dropout``, or one's own with the same members.
        depth: least and largest number of places.
        outputs: of the last linear layer, which comes after them; by default the number of classes in the data.

    Raises:
        UserError: where there are no layers, two of one name, or an impossible depth.
    """

    layers: Listed[Layer]
    depth: tuple[int, int] = (1, 4)
    outputs: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.layers, list | tuple):
            raise UserError(f"`layers` is a {type(self.layers).__name__}; it must be a list of layers")
        names = [layer.name for layer in self.layers]
        again = [name for name in names if names.count(name) > 1]
        if not names or again:
            raise UserError(f"`layers` must be several different layers; {again[0] if again else 'none'} is not")
        if not fits(tuple[int, int], self.depth) or not 1 <= self.depth[0] <= self.depth[1]:
            raise UserError(f"`depth` is {self.depth}; it must be two numbers, from 1, the larger one last")
        for layer in self.layers:
            for field, value in vars(layer).items():
                if field in ("units", "filters", "kernel", "size") and not (fits(int, value) and 0 < value < 2**31):
                    raise UserError(f"`{field}` is {str(value)[:40]!r}; it must be a whole number from 1 to 2**31")
                if field == "p" and not (fits(float, value) and 0 <= value < 1):
                    raise UserError(f"`p` is {str(value)[:40]!r}; it must be a probability below 1")
            activation = vars(layer).get("activation", "relu")
            if activation not in ACTIVATIONS:
                raise UserError(f"`activation` is {activation!r}; it must be one of {', '.join(ACTIVATIONS)}")


@dataclass(frozen=True)
class SequenceSpace:
    """The space of a sequence for examples of a shape.

    Attributes:
        sequence: of layers.
        shape: of an example.
        outputs: of the network.

    Raises:
        UserError: where no layer can come first.
    """

    sequence: Sequence
    shape: Shape
    outputs: int

    def __post_init__(self) -> None:
        if not self._fitting(self.shape):
            names = ", ".join(layer.name for layer in self.sequence.layers)
            raise UserError(f"`layers` {names}: none reads examples of shape {self.shape}")

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision that is not made: the depth, then the layer of each place."""
        if DEPTH not in made:
            least, most = self.sequence.depth
            return Decision(DEPTH, tuple(map(str, range(least, most + 1))))
        before = self.shape
        for place in range(1, int(made[DEPTH]) + 1):
            fitting = self._fitting(before)
            name = self._decision(place, fitting)
            if name not in made:
                return Decision(name, tuple(layer.name for layer in fitting))
            after = self._named(made[name]).shape(before)
            assert after is not None, "only what fits is chosen"
            before = after
        return None

    def genotype(self, point: Mapping[str, str]) -> ChoicesGenotype:
        """Return the architecture of a complete point."""
        return ChoicesGenotype(tuple((name.partition(OF)[0], (value,)) for name, value in point.items()))

    def network(self, genotype: ChoicesGenotype, searched: bool = False) -> nn.Module:
        """Return the network of a genotype with new weights."""
        modules: list[nn.Module] = []
        before = self.shape
        for place in range(1, int(genotype[DEPTH][0]) + 1):
            layer = self._named(genotype[f"layer{place}"][0])
            after = layer.shape(before)
            if after is None:
                raise UserError(f"layer{place} {layer.name} cannot follow an output of shape {before}")
            modules += layer.build(before)
            before = after
        return nn.Sequential(*modules, *_flat(before), nn.Linear(_size(before), self.outputs))

    def _decision(self, place: int, fitting: list[Layer]) -> str:
        numbers = [str(k) for k, layer in enumerate(self.sequence.layers) if layer in fitting]
        return f"layer{place}" if len(numbers) == len(self.sequence.layers) else f"layer{place}{OF}{','.join(numbers)}"

    def _fitting(self, before: Shape) -> list[Layer]:
        return [layer for layer in self.sequence.layers if layer.shape(before) is not None]

    def _named(self, name: str) -> Layer:
        found = next((layer for layer in self.sequence.layers if layer.name == name), None)
        if found is None:
            raise UserError(
                f"{name!r} is none of the layers; there are {[layer.name for layer in self.sequence.layers]}"
            )
        return found


def space_of(sequence: Sequence, inputs: Any, classes: int | None) -> SequenceSpace:
    """Return the space of a sequence for data.

    Args:
        inputs: of a batch, ``(b, features)`` or ``(b, channels, height, width)``.
        classes: number of classes in the data, where it is known.

    Raises:
        UserError: where the inputs are no rows or images, or the number of outputs is not known.
    """
    shape = tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else ()
    if len(shape) not in (1, 3) or not inputs.is_floating_point():
        kind = f"{tuple(inputs.shape)} {inputs.dtype}" if isinstance(inputs, Tensor) else f"a {type(inputs).__name__}"
        raise UserError(f"`data` has inputs of {kind}; a sequence reads rows or images (c, h, w) of floats")
    outputs = sequence.outputs or classes
    if outputs is None:
        raise UserError("`outputs` of the sequence is not given, and the classes of the data are not known")
    return SequenceSpace(sequence, shape, outputs)


def _size(shape: Shape) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _flat(shape: Shape) -> list[nn.Module]:
    return [nn.Flatten()] if len(shape) > 1 else []
