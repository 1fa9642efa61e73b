"""The weights of another run as the beginning of a training or a search, and layers that do not train.

A layer is a module that has weights or statistics of its own. It starts with those of the other run where all of them
have the same names and shapes there; else it begins as it would without the run. So a network that was trained on one
data set is fine-tuned on another, whose classes are other ones: all but the last layer start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from darts.artifacts.checkpoint import load, newest_first, newest_state
from darts.artifacts.run_folder import CHECKPOINTS
from darts.errors import UserError
from genotypes.atomic_write import write_atomically

WEIGHTS = "weights.pt"
FILE = "start.json"

STARTED = "started"
"""In the place of a layer's name: all layers that start with another run's weights."""

SHOWN = 12
"""Layers without a start that are named in the terminal; ``FILE`` has all."""


@dataclass(frozen=True)
class Start:
    """What a network has begun with.

    Attributes:
        run: whose weights they are; None where a network begins by itself.
        layers: name of each layer -> why it has not started; None where it has.
    """

    run: Path | None = None
    layers: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def started(self) -> tuple[str, ...]:
        """The layers that have started."""
        return tuple(name for name, reason in self.layers.items() if reason is None)

    def lines(self) -> Iterator[str]:
        """Yield what is said of it, for people; nothing without a run."""
        if self.run is None:
            return
        yield f"{len(self.started)} of {len(self.layers)} layers start with the weights of {self.run}"
        others = [(name, reason) for name, reason in self.layers.items() if reason is not None]
        for name, reason in others[:SHOWN]:
            yield f"  {name or 'the network'} does not: {reason}"
        if len(others) > SHOWN:
            yield f"  and {len(others) - SHOWN} others, see {FILE} in the run's folder"

    def write(self, folder: Path) -> None:
        """Write each layer, and why it has not started, to a file in a run's folder; nothing without another run."""
        if self.run is None:
            return
        content = {"run": str(self.run), "layers": {name: reason or STARTED for name, reason in self.layers.items()}}
        write_atomically(folder / FILE, (json.dumps(content, indent=2) + "\n").encode())


NOT_STARTED = Start()
"""The beginning of a network that no other run gives weights to."""


def begin_with(network: nn.Module, run: Path | None) -> Start:
    """Give a network the weights of a run, layer by layer.

    Args:
        network: is changed in place.
        run: folder of a training, a finished one or not, or of a search; None for no change.

    Raises:
        UserError: where the run has no weights, or no layer of them fits.
    """
    if run is None:
        return NOT_STARTED
    theirs, ours = _weights_of(run), network.state_dict(keep_vars=True)
    layers: dict[str, list[str]] = {}
    for name in ours:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    found: dict[str, str | None] = {}
    for layer, names in layers.items():
        reasons = (_difference(name.removeprefix(f"{layer}."), ours[name], theirs.get(name)) for name in names)
        found[layer] = next(filter(None, reasons), None)
        if found[layer] is None:
            with torch.no_grad():
                for name in names:
                    ours[name].copy_(theirs[name])
    if all(found.values()):
        layer, reason = next(iter(found.items()), ("the network", "it has no weights"))
        raise UserError(f"`start` is {run}: none of {len(found)} layers starts with its weights ({layer}: {reason})")
    return Start(run, found)


def _difference(name: str, ours: Tensor, theirs: Tensor | None) -> str | None:
    if theirs is None:
        return f"no {name} there"
    if is_lazy(ours):
        return f"the size of {name} is not known yet"
    if ours.shape != theirs.shape:
        return f"{name} is {tuple(ours.shape)}, there {tuple(theirs.shape)}"
    return None


def _weights_of(run: Path) -> Mapping[str, Tensor]:
    """Return the weights of a run by name: of a training, of the best network of a search by trials, of a supernet."""
    weights: Any = None
    if (run / WEIGHTS).exists():
        weights = load(run / WEIGHTS).get("network")
    elif newest_first(run / CHECKPOINTS):
        task = newest_state(run / CHECKPOINTS)[1].get("task")
        if isinstance(task, Mapping):
            weights = task.get("network", task.get("supernet"))
    else:
        raise UserError(f"`start` is {run}: it must be the folder of a run with {WEIGHTS} or checkpoints")
    if not isinstance(weights, Mapping) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise UserError(f"`start` is {run}: its weights cannot be read; take another run")
    return weights


class Frozen:
    """The layers of a network that do not train: their weights stay, and their BatchNorm keeps its statistics.

    Args:
        network: whose weights stop to require gradients.
        names: beginnings of layers' names, such as ``stem`` or ``cells.0``; ``STARTED`` for all that have started.
        start: of the network.

    Raises:
        UserError: where a name begins no layer's, or nothing is left to train.
    """

    def __init__(self, network: nn.Module, names: Sequence[str], start: Start):
        self.modules: list[nn.Module] = []
        modules = dict(network.named_modules())
        for name in names:
            if name == STARTED:
                if start.run is None:
                    raise UserError(f"`freeze` is {STARTED}, but no run is given to start with: set `start`")
                chosen = [modules[layer] for layer in start.started]
            else:
                chosen = [module for path, module in modules.items() if path and f"{path}.".startswith(f"{name}.")]
            if not chosen:
                there = ", ".join(path for path, _ in network.named_children())
                raise UserError(f"`freeze` is {name!r}, which no layer's name begins with; there are {there}")
            self.modules += chosen
        for module in self.modules:
            for weight in module.parameters(recurse=False):
                weight.requires_grad_(False)
        if names and not any(weight.requires_grad for weight in network.parameters()):
            raise UserError(f"`freeze` {' '.join(names)} leaves no weight to train")

    def keep_statistics(self) -> None:
        """Set the frozen layers to evaluation mode, after the network was set to training mode."""
        for module in self.modules:
            module.training = False
