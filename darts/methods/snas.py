"""SNAS: stochastic neural architecture search (Xie et al. 2019).

Gates are samples of the concrete distribution, ``softmax((log a + gumbel) / t)`` (equation 3); the temperature falls
from 1 to 0.03. The logits here are the paper's ``log a``. Weights and logits descend the same loss on the same data
(section 2.2), plus, where asked for, the expected cost of what is sampled (``darts.bilevel.penalties``). Edges are ranked with
``none`` among their candidates, so that a kept edge may deliver nothing. On one GPU the authors' code moves the logits
by plain SGD, the update ``sgd``; on several by Adam, which is taken here.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from darts.bilevel.discretization import top_edges
from darts.bilevel.hypergradients import Batch, Bilevel, frozen, gradient
from darts.bilevel.relaxations import linear, masked
from darts.config.ranges import require
from darts.methods.gdas import perturbed
from darts.methods.method import Method
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class Concrete:
    """Soft samples: one for each forward pass."""

    first: float = 1.0
    last: float = 0.03

    def __post_init__(self) -> None:
        require(self, above_0=("first", "last"))

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        return perturbed(logits, table, generator).div(linear(self.first, self.last, progress)).softmax(-1)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)

    def log_density(self, gates: Tensor, logits: Tensor, table: ChoiceTable, progress: Tensor) -> Tensor:
        """Of each row of sampled gates, ``(e,)``; a function of the logits alone (Maddison et al. 2017, equation 10).

        A gate too small for its type counts as the smallest.
        """
        t = linear(self.first, self.last, progress)
        logs = gates.detach().clamp_min(torch.finfo(gates.dtype).tiny).log()
        known = torch.ones_like(gates, dtype=torch.bool) if table.allowed is None else table.mask_on(gates.device)
        n = known.sum(1).to(gates.dtype)
        powers = (logits - (t + 1) * logs).masked_fill(~known, 0).sum(1)
        return torch.lgamma(n) + (n - 1) * t.log() + powers - n * masked(logits - t * logs, table).logsumexp(1)


def single_level(problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
    """The gradient of the logits' loss on the batch that trains the weights."""
    return gradient(problem.upper(frozen(problem.weights), problem.logits, train), problem.logits)


@dataclass(frozen=True)
class TopEdgesOfAll:
    """As DARTS's rule, but ``none`` takes part, if it may be kept. With ``every_edge`` no edge has to give way: all are
    derived."""

    every_edge: bool = False

    def __call__(self, scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        if table.required:
            return top_edges(scores, table)
        return top_edges(scores, replace(table, dropped=(), keep=None if self.every_edge else table.keep))


def near_one(table: ChoiceTable, draw: Tensor) -> Tensor:
    """Normal with mean 1 and standard deviation 0.01, as the authors' code begins."""
    return 1 + 0.01 * draw


METHOD = Method(relax=Concrete(), step=single_level, discretize=TopEdgesOfAll(), initial=near_one)
