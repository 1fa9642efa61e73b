"""The costs of the architectures of one space, as sums over candidates: counted once for limits and penalties together.

Parameters, multiply-adds and memory accesses are exact sums, checked against real networks; latency is the sum that its
table predicts. Memory at its peak is no sum: beside the real peak stand the bytes that the layers of a network write
altogether, which grow with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from supernet import architectures
from supernet.choice import Picks
from supernet.cost.additive import AdditiveCost, parts_of, sums
from supernet.cost.architecture import COSTS, NO_TABLE, Counts, Deployment, network_on_meta
from supernet.cost.latency_table import read_table
from supernet.errors import SpaceError
from supernet.parts import Part
from supernet.shapes import Shape
from supernet.spaces.space import SearchSpace

SAMPLES = 3
"""Architectures whose real cost is compared with the sum."""


@dataclass(frozen=True)
class SpaceCost:
    """A cost as a function of the architectures of a space.

    Attributes:
        total: the sum over candidates, of which penalties take the expectation.
        of: the cost of an architecture's network.
        adds_up: whether both are the same; else ``of`` grows with ``total``.
    """

    total: AdditiveCost
    of: Callable[[Picks], float]
    adds_up: bool = True


class SpaceCosts:
    """The costs of a space's architectures. What several costs need is made once.

    Args:
        space: at the size of the networks whose costs count.
        shape: of their examples.
    """

    def __init__(self, space: SearchSpace, shape: Shape):
        self.space, self.shape = space, shape
        self._parts: dict[int, list[Part]] = {}
        self._known: dict[tuple[str, int, Path | None], SpaceCost] = {}
        self._samples: list[tuple[Picks, torch.nn.Module]] = []

    def cost(self, name: str, batch: int = 1, table: Path | None = None) -> SpaceCost:
        """Return a cost of ``COSTS``.

        Args:
            name: of the cost.
            batch: examples of a forward pass, for ``memory``.
            table: file of measured latencies, for ``latency``.

        Raises:
            SpaceError: where the costs of the space's candidates do not add up, or latency has no table.
        """
        key = name, batch, table
        if key not in self._known:
            counts = COSTS[name].counts
            self._known[key] = self._predicted(table) if counts is None else self._counted(name, counts, batch)
        return self._known[key]

    def _parts_for(self, batch: int) -> Sequence[Part]:
        if batch not in self._parts:
            self._parts[batch] = parts_of(self.space, self.shape, batch)
        return self._parts[batch]

    def _predicted(self, path: Path | None) -> SpaceCost:
        if path is None:
            raise SpaceError(NO_TABLE)
        table = read_table(path)
        predicted = table.cost(self._parts_for(table.batch))
        return SpaceCost(predicted, predicted.of)

    def _counted(self, name: str, counts: Counts, batch: int) -> SpaceCost:
        found = sums(self._parts_for(batch if counts.batched else 1), counts.part)
        deployment = Deployment(self.shape, batch)
        if not counts.adds_up:

            def real(picks: Picks) -> float:
                return counts.network(network_on_meta(self.space, self.space.derive(picks)), deployment)

            return SpaceCost(found, real, adds_up=False)
        fixed = {counts.network(network, deployment) - found.of(picks) for picks, network in self._networks()}
        if len(fixed) > 1:
            raise SpaceError(f"the {name} of this model's candidates do not add up to those of its networks")
        total = AdditiveCost(fixed.pop(), found.terms)
        return SpaceCost(total, total.of)

    def _networks(self) -> Sequence[tuple[Picks, torch.nn.Module]]:
        """Return some architectures and their networks, on the meta device."""
        if not self._samples:
            generator = torch.Generator().manual_seed(0)
            drawn = [architectures.sample(self.space, generator) for _ in range(SAMPLES)]
            self._samples = [(picks, network_on_meta(self.space, self.space.derive(picks))) for picks in drawn]
        return self._samples
