"""Zero-cost: figures of the untrained network on one batch (``darts.blackbox.proxies``)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from darts.benchmarks.protocol import Score
from darts.blackbox.evaluators.evaluator import EvaluatorOptions, Problem, Setting
from darts.blackbox.proxies import PROXIES, Batch
from darts.config.blackbox import BlackboxConfig
from darts.config.ranges import choose, require
from darts.data.order import shuffled
from darts.errors import UserError
from darts.retraining.evaluator import Budget, Evaluator, Trial
from darts.retraining.fingerprint import checked_fingerprint
from genotypes import Genotype
from supernet.cost.network import Cost, count
from supernet.shapes import ImageShape
from supernet.spaces.space import SearchSpace

LEAST = -torch.finfo(torch.float64).max
"""The figure of a network for which a proxy is not finite."""


@dataclass(frozen=True)
class ZeroCost(EvaluatorOptions):
    """Judges untrained networks of images.

    ``name``: of the proxy; ``images``: of the batch, drawn from the training set with the search's seed; ``networks``:
    initializations over which the mean is taken.
    """

    name: str = "synflow"
    images: int = 64
    networks: int = 1

    def __post_init__(self) -> None:
        choose(self, name=PROXIES)
        require(self, from_2=("images",), from_1=("networks",))

    def problem(self, config: BlackboxConfig, setting: Callable[[], Setting]) -> Problem:
        """Return the problem of judging by a proxy.

        Raises:
            UserError: where the data set holds no images with classes.
        """
        opened = setting()
        data = opened.data
        if not isinstance(data.shape, ImageShape) or data.objective is not None:
            raise UserError(
                f"`evaluator` proxy:{self.name} is defined for images with classes, which {data.name} has not: take "
                "another `evaluator`, or set `data.name`"
            )
        train, _ = opened.split()
        batch = next(data.train.batches(shuffled(train, config.seed, 0)[: self.images], self.images, training=False))
        decisions = opened.decisions()
        return Problem(decisions, Untrained(self, decisions.space, data.shape, batch, config.seed), opened.costs())


@dataclass(frozen=True)
class Untrained(Evaluator):
    """A proxy of networks with initial weights.

    Attributes:
        options: of the proxy.
        space: whose networks are judged.
        shape: of the images.
        batch: images ``(b, c, h, w)`` and labels ``(b,)``.
        seed: of the initial weights.
    """

    options: ZeroCost
    space: SearchSpace
    shape: ImageShape
    batch: tuple[Tensor, Tensor]
    seed: int

    def __call__(self, genotype: Genotype, budget: Budget, trial: Trial) -> Score:
        """Return the proxy, and the size of the network; a figure that is not finite is the most negative number."""
        began = time.monotonic()
        found, cost, network = self.figures(genotype, (self.options.name,))
        values = {"proxy": found[self.options.name], "parameters": cost.parameters, "multiply_adds": cost.multiply_adds}
        return Score(values, time.monotonic() - began, {"network": network})

    def figures(self, genotype: Genotype, names: Sequence[str]) -> tuple[dict[str, float], Cost, str]:
        """Return several proxies of an architecture's networks, their size, and their fingerprint.

        Args:
            genotype: of the architecture.
            names: rows of ``PROXIES``.
        """
        found, cost, fingerprint = dict.fromkeys(names, 0.0), None, ""
        for number in range(self.options.networks):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed + number)
                network = self.space.network(genotype)
            fingerprint, cost = checked_fingerprint(network, self.space, genotype), count(network, self.shape)
            network.to(self.batch[0].device).train()
            for name in names:
                batch = Batch(*self.batch, torch.Generator().manual_seed(self.seed + number))
                found[name] += PROXIES[name](network, batch) / self.options.networks
        assert cost is not None
        finite = {name: value if math.isfinite(value) else LEAST for name, value in found.items()}
        return finite, cost, fingerprint
