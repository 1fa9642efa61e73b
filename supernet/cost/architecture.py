"""The costs of an architecture: what its network costs at deployment, by name.

``COSTS`` is what limits (``supernet.cost.limits``), strategies without gradients and discretizations share. Parameters,
multiply-adds and memory are those of the real network, counted without computing it; latency is predicted from a table
of measured candidates (``supernet.cost.latency``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from genotypes import Genotype
from supernet.choice import Picks
from supernet.cost.network import count, peak_activations
from supernet.errors import SpaceError
from supernet.network import count_parameters
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
class ArchitectureCost:
    """A row of ``COSTS``.

    Attributes:
        of: the cost of a genotype of a space.
        unit: of the number that it returns.
        meaning: what is counted, for people.
    """

    of: Callable[[SearchSpace, Genotype, Deployment], float]
    unit: str
    meaning: str


def network_on_meta(space: SearchSpace, genotype: Genotype) -> nn.Module:
    """Return the network of a genotype without allocating its weights."""
    with torch.device("meta"):
        return space.network(genotype)


def _parameters(space: SearchSpace, genotype: Genotype, deployment: Deployment) -> float:
    return count_parameters(network_on_meta(space, genotype))


def _multiply_adds(space: SearchSpace, genotype: Genotype, deployment: Deployment) -> float:
    return count(network_on_meta(space, genotype), deployment.shape).multiply_adds


def _memory(space: SearchSpace, genotype: Genotype, deployment: Deployment) -> float:
    return peak_activations(network_on_meta(space, genotype), deployment.shape, deployment.batch)


def _latency(space: SearchSpace, genotype: Genotype, deployment: Deployment) -> float:
    if deployment.latency is None:
        raise SpaceError("latency needs a table of measurements: make one with `python -m supernet.cost.latency`")
    return deployment.latency.of(space.picks(genotype))


COSTS: dict[str, ArchitectureCost] = {
    "parameters": ArchitectureCost(_parameters, "", "weights"),
    "multiply_adds": ArchitectureCost(_multiply_adds, "", "multiply-adds for one example"),
    "memory": ArchitectureCost(_memory, "B", "bytes of the activations of a forward pass at its peak"),
    "latency": ArchitectureCost(_latency, "ms", "milliseconds of a forward pass, predicted"),
}
"""The costs of an architecture by name."""


def costs_of(space: SearchSpace, genotype: Genotype, names: Iterable[str], deployment: Deployment) -> dict[str, float]:
    """Return the costs of a genotype: name -> value, in the units of ``COSTS``.

    Raises:
        SpaceError: where latency is asked for and there is no table.
    """
    return {name: COSTS[name].of(space, genotype, deployment) for name in names}
