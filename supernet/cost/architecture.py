"""The costs of an architecture: what its network costs at deployment, by name.

``COSTS`` is the one table of costs: limits, penalties, strategies without gradients and discretizations share it. All
but latency are those of the real network, counted without computing it; latency is predicted from a table of measured
candidates (``supernet.cost.latency``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from genotypes import Genotype
from supernet.choice import Picks
from supernet.cost.network import allocated, layer_accesses, multiply_adds, on_meta, peak_activations
from supernet.errors import SpaceError
from supernet.network import count_parameters
from supernet.parts import Part
from supernet.shapes import Shape
from supernet.spaces.space import SearchSpace


class PicksCost(Protocol):
    """A cost as a function of the kept candidates."""

    def of(self, picks: Picks) -> float:
        """Return the cost of an architecture."""
        ...


@dataclass(frozen=True)
class Deployment:
    """What costs depend on besides the architecture.

    Attributes:
        shape: of the examples.
        batch: number of examples in a forward pass, for ``memory``.
        latency: predicted latency in milliseconds; needed for ``latency`` alone.
    """

    shape: Shape
    batch: int = 1
    latency: PicksCost | None = None


@dataclass(frozen=True)
class Counts:
    """How a cost is counted.

    Attributes:
        network: the cost of a network, on the meta device.
        part: what a candidate brings to it.
        adds_up: whether the cost of a network is a constant and the sum over its parts; else it grows with the sum.
        batched: whether it is that of a deployment's batch; else of one example.
    """

    network: Callable[[nn.Module, Deployment], float]
    part: Callable[[Part], float]
    adds_up: bool = True
    batched: bool = False


@dataclass(frozen=True)
class ArchitectureCost:
    """A row of ``COSTS``.

    Attributes:
        meaning: what it is, for people.
        counts: how it is counted; None for what is predicted from a table of measurements.
        unit: of the number.
    """

    meaning: str
    counts: Counts | None
    unit: str = ""


COSTS: dict[str, ArchitectureCost] = {
    "parameters": ArchitectureCost(
        "weights",
        Counts(
            lambda network, deployment: count_parameters(network),
            lambda part: sum(p.numel() for p in part.module.parameters()),
        ),
    ),
    "multiply_adds": ArchitectureCost(
        "multiply-adds for one example",
        Counts(
            lambda network, deployment: multiply_adds(network, on_meta(deployment.shape.inputs(1))),
            lambda part: multiply_adds(part.module, part.inputs, part.named),
        ),
    ),
    "memory_accesses": ArchitectureCost(
        "values that the layers read and write for one example",
        Counts(
            lambda network, deployment: layer_accesses(network, on_meta(deployment.shape.inputs(1))),
            lambda part: layer_accesses(part.module, part.inputs, part.named),
        ),
    ),
    "memory": ArchitectureCost(
        "bytes of the activations of a forward pass at its peak",
        Counts(
            lambda network, deployment: peak_activations(network, deployment.shape, deployment.batch),
            lambda part: allocated(part.module, part.inputs, part.named),
            adds_up=False,
            batched=True,
        ),
        unit="B",
    ),
    "latency": ArchitectureCost("milliseconds of a forward pass, predicted", None, unit="ms"),
}
"""The costs of an architecture by name."""

NO_TABLE = "latency needs a table of measurements: make one with `python -m supernet.cost.latency`"


def costs_of(space: SearchSpace, genotype: Genotype, names: Iterable[str], deployment: Deployment) -> dict[str, float]:
    """Return the costs of a genotype: name -> value, in the units of ``COSTS``.

    Raises:
        SpaceError: where latency is asked for and there is no table.
    """
    found: dict[str, float] = {}
    network: nn.Module | None = None
    for name in names:
        counts = COSTS[name].counts
        if counts is not None:
            network = network or network_on_meta(space, genotype)
            found[name] = counts.network(network, deployment)
        elif deployment.latency is None:
            raise SpaceError(NO_TABLE)
        else:
            found[name] = deployment.latency.of(space.picks(genotype))
    return found


def network_on_meta(space: SearchSpace, genotype: Genotype) -> nn.Module:
    """Return the network of a genotype without allocating its weights."""
    with torch.device("meta"):
        return space.network(genotype)
