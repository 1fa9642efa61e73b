"""GAEA: geometry-aware exponentiated gradient (Li et al. 2021).

The gates themselves are the parameters and stay on the simplex: there is no softmax. They move by the exponentiated
gradient, ``p <- p exp(-lr g)``, normalized over each decision (algorithm 1, equation 5), which favours sparse gates.
They begin uniform. Weights of edges, where a method has them, move alike, normalized over the edges into each node.
Of one level with ``--method.step single_level``; on GDAS with ``simplex:sampled=true`` and a learning rate of 0.01.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darts.bilevel.arch_optimizers import Adaptive
from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.config.ranges import require
from darts.methods.gdas import HardGumbel
from darts.methods.method import Method, Stage
from supernet.choice import ChoiceTable, Gates, edges_of

LEAST = 1e-5
"""No gate falls below this before it is normalized, as in the authors' code: it could not come back."""


def uniform(table: ChoiceTable, draw: Tensor) -> Tensor:
    """Equal gates of each decision; equal weights of the edges into each node."""
    if draw.dim() == 1:
        return _per_node(torch.ones_like(draw), table)
    allowed = table.mask.to(draw)
    return allowed / allowed.sum(1, keepdim=True)


@dataclass(frozen=True)
class Simplex:
    """The parameters are the gates; with ``sampled``, the probabilities of GDAS's samples.

    ``first`` and ``last``: the temperature of these.
    """

    sampled: bool = False
    first: float = 10.0
    last: float = 0.1

    initial = staticmethod(uniform)

    def __post_init__(self) -> None:
        require(self, above_0=("first", "last"))

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        if self.sampled:
            return HardGumbel(self.first, self.last).gates(_above_0(logits).log(), table, progress, generator)
        return logits

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return logits


@dataclass(frozen=True)
class Entropic:
    """``weight`` times the divergence of each decision from the uniform one, ``sum p log(p n)``, over all decisions.

    An option of the authors' code, off but for GDAS, where it is 0.01.
    """

    weight: float = 0.01

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        total = 0.0
        for table in problem.tables:
            p = _above_0(logits[table.label])
            uniform_log = table.mask_on(p.device).sum(1, keepdim=True).to(p.dtype).log()
            total = total + (p * uniform_log - torch.special.entr(p)).sum()
        return self.weight * total


def weights_of_edges(logits: Tensor, table: ChoiceTable) -> Tensor:
    """The parameters are the weights of edges."""
    return logits


@dataclass(frozen=True)
class ExponentiatedGradient:
    """Makes the optimizer; ``lr`` is its learning rate, beside which those of Adam are not used."""

    lr: float = 0.1

    def __post_init__(self) -> None:
        require(self, above_0=("lr",))

    def __call__(self, logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], _: Adaptive) -> _Multiplier:
        return _Multiplier(logits, tables, self.lr)


class _Multiplier:
    """The update, with the interface of an optimizer. It remembers nothing."""

    def __init__(self, logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], lr: float):
        self.logits, self.tables, self.lr = logits, tables, lr

    @torch.no_grad()
    def step(self) -> None:
        for table in self.tables:
            p = self.logits[table.label]
            moved = (p * (-self.lr * p.grad).exp()).clamp_min(LEAST) * table.mask_on(p.device)
            p.copy_(moved / moved.sum(1, keepdim=True))
            edges = self.logits.get(edges_of(table.label))
            if edges is not None:
                edges.copy_(_per_node((edges * (-self.lr * edges.grad).exp()).clamp_min(LEAST), table))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def _above_0(p: Tensor) -> Tensor:
    """Gates of which a logarithm can be taken; those of 0, of candidates that are not allowed, get no gradient."""
    return p.clamp_min(torch.finfo(p.dtype).tiny)


def _per_node(weights: Tensor, table: ChoiceTable) -> Tensor:
    return torch.cat([part / part.sum() for part in weights.split(list(table.groups))])


METHOD = Method(relax=Simplex(), arch_optimizer=ExponentiatedGradient())
PC_METHOD = Method(
    relax=Simplex(),
    arch_optimizer=ExponentiatedGradient(),
    edges=weights_of_edges,
    stages=(Stage(warmup=0.3, partial=4),),
)
