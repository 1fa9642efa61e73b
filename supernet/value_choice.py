"""Choices of a number in any network, ``ValueChoice``: a width, a kernel size, a ratio, the probability of dropout.

    width = ValueChoice([16, 32, 64], label="width")
    self.conv = layers.Conv2d(3, width, ValueChoice([3, 5], label="kernel"), padding="same")
    self.head = layers.Linear(49 * width, 10)      # of images (width, 7, 7), flattened
    self.scale = ValueChoice([0.5, 1.0], label="scale")
    ...
    y = x * self.scale()                           # in ``forward``

The layers of ``supernet.layers`` take such a choice in the place of a number, or a ``Value``, which is computed from
one or several choices. In a supernet, a choice weights by gates what each of its values gives.

Axes: ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import add, floordiv, mul, sub

import torch
from torch import Tensor, nn

from supernet.errors import SpaceError
from supernet.layer_choice import Choice, GateValues

Number = int | float

Kept = Mapping[str, Sequence[str]]
"""Label -> names that were chosen."""


class ValueChoice(Choice):
    """A choice of one of several numbers.

    Called in ``forward``, it returns the mean of the numbers, weighted by gates: the chosen number in a derived
    network. Without gates all count alike.

    Args:
        values: to choose from.
        label: of the decision.

    Raises:
        SpaceError: where there is no value, one is not a number, or one is given twice.
    """

    keep = 1

    def __init__(self, values: Sequence[Number], label: str):
        super().__init__()
        odd = [value for value in values if isinstance(value, bool) or not isinstance(value, int | float)]
        if odd:
            raise SpaceError(f"ValueChoice {label!r} has the value {str(odd[0])[:40]!r}; it must have numbers")
        if not values or len(set(values)) < len(values):
            raise SpaceError(f"ValueChoice {label!r} must have one value or more, each once")
        self.label, self.values = label, tuple(values)
        self.names = tuple(map(str, values))
        self.gate_values: GateValues | None = None

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Return the sum of what the values give, weighted by gates.

        Args:
            rows: what each value gives, ``(o, ...)``; by default the value itself, ``(o,)``.
        """
        if rows is None:
            rows = torch.tensor(self.values, dtype=torch.get_default_dtype())
            rows = rows if self.gate_values is None else rows.to(self.gate_values.gates)
        count = len(self.values)
        gates = rows.new_full((count,), 1 / count) if self.gate_values is None else self.gate_values.gates.to(rows)
        return torch.tensordot(gates, rows, 1)

    def map(self, function: Callable[[Number], Number]) -> Value:
        """Return what a function makes of the chosen number."""
        return value_of(self).map(function)

    def __mul__(self, other: Sized) -> Value:
        return value_of(self) * other

    __rmul__ = __mul__

    def __add__(self, other: Sized) -> Value:
        return value_of(self) + other

    __radd__ = __add__

    def __sub__(self, other: Sized) -> Value:
        return value_of(self) - other

    def __floordiv__(self, other: Sized) -> Value:
        return value_of(self) // other

    def extra_repr(self) -> str:
        return f"label={self.label!r}, values={self.values}"


@dataclass(frozen=True)
class Value:
    """A number that follows from choices.

    Attributes:
        choices: that it depends on, with different labels.
        numbers: the number for each combination of their values, the last choice's varying fastest.
    """

    choices: tuple[ValueChoice, ...]
    numbers: tuple[Number, ...]

    @property
    def largest(self) -> Number:
        """The largest of its numbers."""
        return max(self.numbers)

    def of(self, kept: Kept) -> Number:
        """Return the number where these names are kept under the choices' labels."""
        place = 0
        for choice in self.choices:
            place = place * len(choice.names) + choice.names.index(kept[choice.label][0])
        return self.numbers[place]

    def map(self, function: Callable[[Number], Number]) -> Value:
        """Return what a function makes of the number."""
        return Value(self.choices, tuple(function(number) for number in self.numbers))

    def expected(self, row: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
        """Return the sum of what the numbers give, weighted by the products of their choices' gates.

        Args:
            row: all numbers ``(n,)`` -> what each gives, ``(n, ...)``.
            like: a tensor on the device.
        """
        rows = row(torch.tensor(self.numbers, device=like.device))
        rows = rows.unflatten(0, [len(choice.names) for choice in self.choices]) if self.choices else rows[0]
        for choice in self.choices:
            rows = choice(rows)
        return rows

    def __mul__(self, other: Sized) -> Value:
        return _combined(self, other, mul)

    __rmul__ = __mul__

    def __add__(self, other: Sized) -> Value:
        return _combined(self, other, add)

    __radd__ = __add__

    def __sub__(self, other: Sized) -> Value:
        return _combined(self, other, sub)

    def __floordiv__(self, other: Sized) -> Value:
        return _combined(self, other, floordiv)


Sized = int | float | ValueChoice | Value
"""A number, or what becomes one when choices are made."""


class ChosenValue(nn.Module):
    """The chosen number: replaces a ``ValueChoice`` in a derived network."""

    def __init__(self, value: Number):
        super().__init__()
        self.value = value

    def forward(self) -> Number:
        return self.value

    def extra_repr(self) -> str:
        return str(self.value)


def value_of(given: Sized) -> Value:
    """Return a number or a choice as a ``Value``."""
    if isinstance(given, Value):
        return given
    return Value((given,), given.values) if isinstance(given, ValueChoice) else Value((), (given,))


def combinations(values: Sequence[Value]) -> Iterator[dict[str, tuple[str]]]:
    """Yield every combination of names under the labels of the choices that numbers depend on."""
    choices = {choice.label: choice for value in values for choice in value.choices}
    for names in product(*(choice.names for choice in choices.values())):
        yield {label: (name,) for label, name in zip(choices, names)}


def _combined(first: Value, other: Sized, function: Callable[[Number, Number], Number]) -> Value:
    second = value_of(other)
    choices = {choice.label: choice for value in (first, second) for choice in value.choices}
    numbers = [function(first.of(kept), second.of(kept)) for kept in combinations([first, second])]
    return Value(tuple(choices.values()), tuple(numbers))
