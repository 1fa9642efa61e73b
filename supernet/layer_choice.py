"""Choices in any network: ``LayerChoice`` among modules, ``InputChoice`` among tensors (numbers: ``value_choice``).

A network with choices is a search space (``supernet.spaces.modules``). While it is searched, a choice is the sum
of its candidates weighted by gates (Liu et al. 2019, equation 2). Gates are passed to each call (``GatedModel``), not
stored. Choices with one label are one decision. A candidate may contain further choices.

    self.conv = LayerChoice({"3x3": Conv(3), "5x5": Conv(5), "skip": nn.Identity()}, label="kernel")
    self.join = InputChoice(["stem", "block"], keep=1, label="shortcut")

A candidate whose gate is exactly 0 is not computed, so one-hot gates cost what the chosen path costs. A compiled
network does not read the gates' values: it computes all candidates, and is not recompiled when gates change.

Axes: ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from supernet.choice import Gates
from supernet.errors import SpaceError


class GateValues(NamedTuple):
    """The gates of one decision.

    Attributes:
        gates: ``(o,)``.
        live: which of them are not 0, where that is known.
    """

    gates: Tensor
    live: list[bool] | None = None


class Choice(nn.Module):
    """The base class of choices.

    Attributes:
        label: of the decision; choices with one label are one decision.
        names: of the candidates.
        keep: number of candidates that are chosen.
        gate_values: of the call that is computed; None outside of one with gates.
    """

    label: str
    names: tuple[str, ...]
    keep: int
    gate_values: GateValues | None


class LayerChoice(Choice):
    """A choice of one of several modules that take the same inputs and return one tensor of the same shape.

    Without gates its output is the mean of the candidates'.

    Args:
        candidates: name -> module; in a sequence, modules are named by their index.
        label: of the decision.

    Raises:
        SpaceError: where there is no candidate.
    """

    keep = 1

    def __init__(self, candidates: Mapping[str, nn.Module] | Sequence[nn.Module], label: str):
        super().__init__()
        named = candidates if isinstance(candidates, Mapping) else {str(k): c for k, c in enumerate(candidates)}
        if not named:
            raise SpaceError(f"LayerChoice {label!r} has no candidates")
        self.label, self.names = label, tuple(map(str, named))
        self.candidates = nn.ModuleList(named.values())
        self.gate_values: GateValues | None = None

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return _gated_sum(self, [partial(op, *inputs, **named) for op in self.candidates])

    def extra_repr(self) -> str:
        return f"label={self.label!r}, names={self.names}"


class InputChoice(Choice):
    """A choice of ``keep`` of several tensors of the same shape, which are summed.

    Without gates its output is the mean of all, times ``keep``.

    Args:
        names: of the tensors in the order of the call, or their number.
        label: of the decision.
        keep: number of tensors that are chosen.

    Raises:
        SpaceError: where ``keep`` is not in 1 to n.
    """

    def __init__(self, names: Sequence[str] | int, label: str, keep: int = 1):
        super().__init__()
        self.names = tuple(map(str, range(names) if isinstance(names, int) else names))
        if not 1 <= keep <= len(self.names):
            raise SpaceError(f"InputChoice {label!r}: keep is {keep}, of {len(self.names)} inputs; 1 to n can be kept")
        self.label, self.keep = label, keep
        self.gate_values: GateValues | None = None

    def forward(self, *inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the sum; called with the tensors, or with one list of them."""
        tensors = _listed(inputs)
        if len(tensors) != len(self.names):
            raise SpaceError(f"InputChoice {self.label!r}: {len(tensors)} inputs given, {len(self.names)} declared")
        return _gated_sum(self, [partial(_same, x) for x in tensors])

    def extra_repr(self) -> str:
        return f"label={self.label!r}, names={self.names}, keep={self.keep}"


class ChosenInputs(nn.Module):
    """The sum of some of the inputs: replaces an ``InputChoice`` in a derived network."""

    def __init__(self, indices: Sequence[int]):
        super().__init__()
        self.indices = tuple(indices)

    def forward(self, *inputs: Tensor | Sequence[Tensor]) -> Tensor:
        tensors = _listed(inputs)
        first, *others = (tensors[index] for index in self.indices)
        return sum(others, start=first)

    def extra_repr(self) -> str:
        return f"indices={self.indices}"


class GatedModel(nn.Module):
    """A model that takes gates: they weight its choices for the duration of a call."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return the model's output.

        Args:
            inputs: the model's, and last the gates: label -> ``(1, o)``.
            named: inputs of the model by keyword.
        """
        *given, gates = inputs
        found = list(choices(self.model))
        values_by_label = gate_values(gates)
        for choice in found:
            choice.gate_values = values_by_label[choice.label]
        try:
            return self.model(*given, **named)
        finally:
            for choice in found:
                choice.gate_values = None


def choices(model: nn.Module) -> Iterator[Choice]:
    """Yield every choice that a model contains, outer ones before those in their candidates."""
    return (module for module in model.modules() if isinstance(module, Choice))


def gate_values(gates: Gates) -> dict[str, GateValues]:
    """Return the gates of each decision that has one row: label -> gates, and which are not 0."""
    rows = {label: gate[0] for label, gate in gates.items() if gate.ndim == 2}
    if torch.compiler.is_compiling():
        return {label: GateValues(row * (row != 0)) for label, row in rows.items()}
    # One transfer for all decisions: on a GPU the host waits once in a call, not once for each choice.
    values = iter(torch.cat([row.detach() != 0 for row in rows.values()]).tolist())
    return {label: GateValues(row, [next(values) for _ in row]) for label, row in rows.items()}


def _gated_sum(choice: Choice, candidates: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The gated sum of the candidates' outputs; candidates whose gate is known to be 0 are not called."""
    gates, live = choice.gate_values or GateValues(torch.tensor([choice.keep / len(candidates)] * len(candidates)))
    total, first = None, ""
    for index, (name, candidate) in enumerate(zip(choice.names, candidates)):
        if live is not None and not live[index]:
            continue
        y = candidate()
        if not isinstance(y, Tensor):
            kind = type(y).__name__
            raise SpaceError(f"{_called(choice)}: {name!r} gives a {kind}; every candidate must return one tensor")
        if total is not None and y.shape != total.shape:
            shapes = f"{first!r} gives {tuple(total.shape)}, {name!r} gives {tuple(y.shape)}"
            raise SpaceError(f"{_called(choice)}: candidates return different shapes: {shapes}")
        term = gates[index].to(y) * y
        total, first = (term, name) if total is None else (total + term, first)
    return candidates[0]() * 0.0 if total is None else total


def _listed(inputs: Sequence[Tensor | Sequence[Tensor]]) -> Sequence[Tensor]:
    """The tensors of a call with tensors, or with one list of them."""
    tensors = inputs[0] if len(inputs) == 1 and not isinstance(inputs[0], Tensor) else inputs
    return cast(Sequence[Tensor], tensors)


def _same(x: Tensor) -> Tensor:
    return x


def _called(choice: Choice) -> str:
    return f"{type(choice).__name__} {choice.label!r}"
