"""SNAS: stochastic neural architecture search (Xie et al. 2019).

Gates are samples of the concrete distribution, ``softmax((log a + gumbel) / t)`` (equation 3); the temperature falls
from 1 to 0.03. The logits here are the paper's ``log a``. Weights and logits descend the same loss on the same data
(section 2.2), plus, where a penalty ``resource`` is set, the cost of what is sampled (``darts.bilevel.penalties``).
Edges are ranked with ``none`` among their candidates, so that a kept edge may deliver nothing. On one GPU the authors'
code moves the logits by plain SGD, the architecture optimizer ``sgd``; on several by Adam, the default here. There one
pass with one sample gives both gradients: the search's ``order`` together.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from darts.bilevel.discretization import top_edges
from darts.bilevel.hypergradients import Batch, Bilevel, frozen, gradient
from darts.bilevel.relaxations import Relaxation, gumbel_perturbed, linear, masked
from darts.bilevel.requirements import SINGLE_LEVEL, Component, Requirements
from darts.config.ranges import require
from darts.methods.method import Method
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class Concrete(Relaxation):
    """Soft samples, one for each forward pass.

    Attributes:
        first, last: temperature at the beginning and at the end.
    """

    first: float = 1.0
    last: float = 0.03

    def __post_init__(self) -> None:
        require(self, above_0=("first", "last"))

    def requirements(self) -> Requirements:
        return Requirements(provides=frozenset({"density"}))

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        return gumbel_perturbed(logits, table, generator).div(linear(self.first, self.last, progress)).softmax(-1)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)

    def log_density(self, gates: Tensor, logits: Tensor, table: ChoiceTable, progress: Tensor) -> Tensor:
        """Return the log-density of each row of sampled gates, ``(e,)`` (Maddison et al. 2017, equation 10).

        Only the logits get a gradient. A gate too small for its type counts as the smallest number of the type.
        """
        t = linear(self.first, self.last, progress)
        logs = gates.detach().clamp_min(torch.finfo(gates.dtype).tiny).log()
        known = torch.ones_like(gates, dtype=torch.bool) if table.allowed is None else table.mask_on(gates.device)
        n = known.sum(1).to(gates.dtype)
        powers = (logits - (t + 1) * logs).masked_fill(~known, 0).sum(1)
        return torch.lgamma(n) + (n - 1) * t.log() + powers - n * masked(logits - t * logs, table).logsumexp(1)


@dataclass(frozen=True)
class SingleLevel(Component):
    """The gradient of the logits' loss on the batch that trains the weights."""

    def requirements(self) -> Requirements:
        return Requirements(provides=frozenset({SINGLE_LEVEL}))

    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        return gradient(problem.upper(frozen(problem.weights), problem.logits, train), problem.logits)


@dataclass(frozen=True)
class TopEdgesOfAll:
    """DARTS's rule, with ``none`` among the candidates where a decision may be left out.

    Attributes:
        every_edge: whether all edges are derived, instead of the best into each node.
    """

    every_edge: bool = False

    def __call__(self, scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        if table.required:
            return top_edges(scores, table)
        return top_edges(scores, replace(table, dropped=(), keep=None if self.every_edge else table.keep))


def near_one(table: ChoiceTable, draw: Tensor) -> Tensor:
    """Return normal logits of mean 1 and standard deviation 0.01, as in the authors' code."""
    return 1 + 0.01 * draw


METHOD = Method(relax=Concrete(), step=SingleLevel(), discretize=TopEdgesOfAll(), initial=near_one)
