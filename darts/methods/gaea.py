"""GAEA: geometry-aware exponentiated gradient (Li et al. 2021).

The gates themselves are the parameters and stay on the simplex: there is no softmax. They move by the exponentiated
gradient, ``p <- p exp(-lr g)``, normalized over each decision (algorithm 1, equation 5), which favours sparse gates.
They begin uniform. Weights of edges, where a method has them, move alike, normalized over the edges into each node. In
the authors' code the gates learn from the first epoch on, with PC-DARTS as well, and the best epoch's are taken. The
paper's single-level form takes the step ``single_level``; that on GDAS ``simplex:sampled=true`` and a learning rate of
0.01.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from darts.bilevel.arch_optimizers import AdamSettings
from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import Relaxation, gumbel_perturbed, linear, straight_through
from darts.bilevel.requirements import OPERATIONS, Component, Requirements
from darts.config.ranges import require
from darts.methods.context import Callback, MethodContext
from darts.methods.method import Method, Stage
from supernet.choice import ChoiceTable, Gates, edges_of

LEAST = 1e-5
"""The smallest gate before normalization, as in the authors' code: a gate of 0 could not grow again. Weights of edges
are not bounded there."""


def uniform(table: ChoiceTable, draw: Tensor) -> Tensor:
    """Return equal gates of each edge; or, for a draw ``(e,)``, equal weights of the edges into each node."""
    if draw.dim() == 1:
        return _per_node(torch.ones_like(draw), table)
    allowed = table.mask.to(draw)
    return allowed / allowed.sum(1, keepdim=True)


@dataclass(frozen=True)
class Simplex(Relaxation):
    """The parameters are the gates themselves.

    Attributes:
        sampled: whether they are the probabilities of GDAS's samples instead.
        first, last: temperature of the samples at the beginning and at the end.
    """

    sampled: bool = False
    first: float = 10.0
    last: float = 0.1

    def __post_init__(self) -> None:
        require(self, above_0=("first", "last"))

    def requirements(self) -> Requirements:
        reason = "simplex gates stay on the simplex by the exponentiated gradient alone"
        return Requirements(frozenset({"simplex"}), requires={"keeps_simplex": reason})

    def initial(self, table: ChoiceTable, draw: Tensor, scale: float) -> Tensor:
        return uniform(table, draw)

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        if self.sampled:
            perturbed = gumbel_perturbed(_above_0(logits).log(), table, generator)
            return straight_through(perturbed, linear(self.first, self.last, progress))
        return logits

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return logits


@dataclass(frozen=True)
class Entropic(Component):
    """The divergence of each edge's gates from uniform ones, ``sum p log(p n)``, summed over edges.

    This is an option of the authors' code, off but for GDAS, where its weight is 0.01.

    Attributes:
        weight: of the penalty.
    """

    weight: float = 0.01

    def requirements(self) -> Requirements:
        reason = "the penalty entropic is a divergence of gates that are themselves the parameters"
        return Requirements(requires={"simplex": reason})

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        total: Tensor | float = 0.0
        for table in problem.tables:
            p = _above_0(logits[table.label])
            uniform_log = table.mask_on(p.device).sum(1, keepdim=True).to(p.dtype).log()
            total = total + (p * uniform_log - torch.special.entr(p)).sum()
        assert isinstance(total, Tensor)
        return self.weight * total


@dataclass(frozen=True)
class SimplexEdges(Component):
    """The parameters are the weights of edges themselves, ``(e,)``."""

    def requirements(self) -> Requirements:
        return Requirements(
            requires={
                "simplex": "weights of edges move as the gates do",
                OPERATIONS: "weights of edges need operations between states",
            }
        )

    def __call__(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return logits


@dataclass(frozen=True)
class ExponentiatedGradient(Component):
    """Makes the optimizer; the settings of Adam are not used.

    Attributes:
        lr: learning rate.
    """

    lr: float = 0.1

    def __post_init__(self) -> None:
        require(self, above_0=("lr",))

    def requirements(self) -> Requirements:
        reason = "the exponentiated gradient moves gates on the simplex alone"
        return Requirements(frozenset({"keeps_simplex"}), requires={"simplex": reason})

    def __call__(self, logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], _: AdamSettings) -> _Multiplier:
        return _Multiplier(logits, tables, self.lr)


class _Multiplier:
    """The exponentiated gradient with the interface of an optimizer. It has no state."""

    def __init__(self, logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], lr: float):
        self.logits, self.tables, self.lr = logits, tables, lr

    @torch.no_grad()
    def step(self) -> None:
        for table in self.tables:
            p = self.logits[table.label]
            assert p.grad is not None
            moved = (p * (-self.lr * p.grad).exp()).clamp_min(LEAST) * table.mask_on(p.device)
            p.copy_(moved / moved.sum(1, keepdim=True))
            edges = self.logits.get(edges_of(table.label))
            if edges is not None:
                assert edges.grad is not None
                edges.copy_(_per_node(_above_0(edges * (-self.lr * edges.grad).exp()), table))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


def _above_0(p: Tensor) -> Tensor:
    """Return gates of which a logarithm can be taken; gates of 0, of candidates not allowed, get no gradient."""
    return p.clamp_min(torch.finfo(p.dtype).tiny)


def _per_node(weights: Tensor, table: ChoiceTable) -> Tensor:
    return torch.cat([part / part.sum() for part in weights.split(list(table.groups))])


@dataclass(frozen=True)
class BestEpoch(Callback):
    """Makes the genotype of the epoch of the best validation accuracy the result, as the authors' code does."""

    def requirements(self) -> Requirements:
        return Requirements()

    def after_epoch(self, context: MethodContext, epoch: int) -> dict[str, float]:
        accuracies = context.accuracies
        context.choose_epoch(max(range(len(accuracies)), key=accuracies.__getitem__))
        return {}


METHOD = Method(relax=Simplex(), arch_optimizer=ExponentiatedGradient(), callbacks=(BestEpoch(),))
PC_METHOD = replace(METHOD, edges=SimplexEdges(), stages=(Stage(partial=4),))
