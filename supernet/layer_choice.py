"""Choices in anyone's network: ``LayerChoice`` among modules, ``InputChoice`` among tensors.

A network that holds them is a search space (``supernet.spaces.modules``). While it is searched, a choice is the sum of
its candidates weighed by gates (Liu et al. 2019, equation 2); gates arrive from outside with each call (``GatedModel``)
and are not kept. Choices of one label are one decision. A candidate may hold further choices.

    self.conv = LayerChoice({"3x3": Conv(3), "5x5": Conv(5), "skip": nn.Identity()}, label="kernel")
    self.join = InputChoice(["stem", "block"], keep=1, label="shortcut")

A candidate whose gate is exactly 0 is not computed, so one-hot gates cost what the chosen path costs. A compiled
network does not look at the gates' values: it computes all candidates, and is not compiled anew when gates change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from supernet.choice import Gates
from supernet.errors import SpaceError


class GateValues(NamedTuple):
    """The gates of one decision, ``(o,)``, and which of them are not 0, where that is known."""

    gates: Tensor
    live: list[bool] | None = None


class LayerChoice(nn.Module):
    """One of several modules that take the same inputs and return one tensor of the same shape.

    Without gates it is the mean of its candidates.

    Args:
        candidates: name -> module; modules alone are named by their number.
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

    def forward(self, *inputs: Any) -> Tensor:
        return _gated_sum(self, [lambda op=op: op(*inputs) for op in self.candidates])

    def extra_repr(self) -> str:
        return f"label={self.label!r}, names={self.names}"


class InputChoice(nn.Module):
    """``keep`` of several tensors of the same shape, summed.

    Without gates it is the mean of all, times ``keep``.

    Args:
        names: of the tensors in the order of the call, or how many there are.
        label: of the decision.
        keep: how many are chosen.

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
        """The sum; called with the tensors, or with one list of them."""
        tensors = inputs[0] if len(inputs) == 1 and not isinstance(inputs[0], Tensor) else inputs
        if len(tensors) != len(self.names):
            raise SpaceError(f"InputChoice {self.label!r}: {len(tensors)} inputs given, {len(self.names)} declared")
        return _gated_sum(self, [lambda x=x: x for x in tensors])

    def extra_repr(self) -> str:
        return f"label={self.label!r}, names={self.names}, keep={self.keep}"


Choice = LayerChoice | InputChoice


class ChosenInputs(nn.Module):
    """What a decided ``InputChoice`` becomes: the sum of some of its inputs."""

    def __init__(self, indices: Sequence[int]):
        super().__init__()
        self.indices = tuple(indices)

    def forward(self, *inputs: Tensor | Sequence[Tensor]) -> Tensor:
        tensors = inputs[0] if len(inputs) == 1 and not isinstance(inputs[0], Tensor) else inputs
        first, *others = (tensors[index] for index in self.indices)
        return sum(others, first)

    def extra_repr(self) -> str:
        return f"indices={self.indices}"


class GatedModel(nn.Module):
    """A model that takes gates: its choices are weighed by them for the time of a call."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Any:
        """The model's output.

        Args:
            inputs: the model's, and behind them the gates: label -> ``(1, o)``.
        """
        *inputs, gates = inputs
        found = list(choices(self.model))
        values_by_label = _gate_values(gates)
        for choice in found:
            choice.gate_values = values_by_label[choice.label]
        try:
            return self.model(*inputs)
        finally:
            for choice in found:
                choice.gate_values = None


def choices(model: nn.Module) -> Iterator[Choice]:
    """Every choice that a model holds, outer ones first."""
    return (module for module in model.modules() if isinstance(module, LayerChoice | InputChoice))


def _gate_values(gates: Gates) -> dict[str, GateValues]:
    rows = {label: gate[0] for label, gate in gates.items() if gate.ndim == 2}
    if torch.compiler.is_compiling():
        return {label: GateValues(row * (row != 0)) for label, row in rows.items()}
    # One transfer for all decisions: on a GPU this waits for the device once a call, not once a choice.
    values = iter(torch.cat([row.detach() != 0 for row in rows.values()]).tolist())
    return {label: GateValues(row, [next(values) for _ in row]) for label, row in rows.items()}


def _gated_sum(choice: Choice, candidates: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The gated sum of what the candidates deliver; those of a gate known to be 0 are not called."""
    gates, live = choice.gate_values or GateValues(torch.tensor([choice.keep / len(candidates)] * len(candidates)))
    total, first = None, ""
    for index, (name, candidate) in enumerate(zip(choice.names, candidates)):
        if live is not None and not live[index]:
            continue
        y = candidate()
        if not isinstance(y, Tensor):
            kind = type(y).__name__
            raise SpaceError(f"{_called(choice)}: {name!r} gives a {kind}; a choice is among single tensors")
        if total is not None and y.shape != total.shape:
            shapes = f"{first!r} gives {tuple(total.shape)}, {name!r} gives {tuple(y.shape)}"
            raise SpaceError(f"{_called(choice)}: candidates of unequal shapes: {shapes}")
        term = gates[index].to(y) * y
        total, first = (term, name) if total is None else (total + term, first)
    return candidates[0]() * 0.0 if total is None else total


def _called(choice: Choice) -> str:
    return f"{type(choice).__name__} {choice.label!r}"
