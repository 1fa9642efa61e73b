"""SDARTS: perturbation-based regularization (Chen and Hsieh 2020).

The weights train with perturbed gates, so that the loss is smooth where a discretized architecture will stand:
``w = argmin L_train(w, gates + d)``. SDARTS-RS draws ``d`` uniformly from a box (equation 8); SDARTS-ADV seeks the
worst ``d`` in it by projected gradient ascent (equation 9). The box grows linearly. Perturbed gates are projected to
the simplex; the logits' step is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.hypergradients import Batch, gradient
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import linear
from darts.bilevel.requirements import Component, Requirements
from darts.config.ranges import require
from darts.methods.method import Method
from supernet.choice import Gates

NOT_ON_THE_SIMPLEX = "perturbed gates are projected to the simplex, and sigmoid gates are not on it"


@dataclass(frozen=True)
class RandomSmoothing(Component):
    """Uniform noise of each gate, in a box of side ``2 r``.

    Attributes:
        first, last: ``r`` at the beginning and at the end of the search.
    """

    first: float = 0.03
    last: float = 0.3

    def __post_init__(self) -> None:
        require(self, from_0=("first", "last"))

    def requirements(self) -> Requirements:
        return Requirements(excludes={"independent": NOT_ON_THE_SIMPLEX})

    def __call__(self, problem: SearchProblem, gates: Gates, batch: Batch) -> Gates:
        if not (self.first or self.last):
            return gates
        return added(gates, uniform(problem, gates, linear(self.first, self.last, problem.progress)))


@dataclass(frozen=True)
class Adversarial(Component):
    """The worst gates in the box, by projected gradient ascent from a random point, as in the authors' code.

    Each iteration takes the gradient of the training loss at the current gates, in evaluation mode, moves them by
    ``2 r / steps`` along its sign, clips them to the box around the unperturbed gates, and projects them to the
    simplex; the next begins there. The gradient does not go through clipping and projection.

    Attributes:
        first, last: ``r`` at the beginning and at the end of the search.
        steps: iterations.
        revert: whether gates that lower the loss are not used.
    """

    first: float = 0.03
    last: float = 0.3
    steps: int = 7
    revert: bool = True

    def __post_init__(self) -> None:
        require(self, from_0=("first", "last"), from_1=("steps",))

    def requirements(self) -> Requirements:
        return Requirements(excludes={"independent": NOT_ON_THE_SIMPLEX})

    def __call__(self, problem: SearchProblem, gates: Gates, batch: Batch) -> Gates:
        if not (self.first or self.last):
            return gates
        radius = linear(self.first, self.last, problem.progress)
        point = added(gates, uniform(problem, gates, radius))
        for _ in range(self.steps):
            leaves = {t.label: point[t.label].detach().requires_grad_() for t in problem.tables}
            grads = gradient(problem.loss_in_evaluation({**point, **leaves}, batch), leaves)
            steps = {label: 2 * radius / self.steps * grad.sign() for label, grad in grads.items()}
            deltas = {label: (point[label] + step - gates[label]) for label, step in steps.items()}
            point = added(gates, {label: delta.clamp(-radius, radius) for label, delta in deltas.items()})
        if self.revert:
            with torch.no_grad():
                before, after = (problem.loss_in_evaluation(g, batch) for g in (gates, point))
            return {label: torch.where(after < before, g, point[label]) for label, g in gates.items()}
        return point


def uniform(problem: SearchProblem, gates: Gates, radius: Tensor) -> dict[str, Tensor]:
    """Return uniform noise in ``[-radius, radius]`` for each gate of a candidate."""
    draw = {t.label: torch.empty_like(gates[t.label]) for t in problem.tables}
    return {label: noise.uniform_(generator=problem.generator) * (2 * radius) - radius for label, noise in draw.items()}


def added(gates: Gates, deltas: Gates) -> dict[str, Tensor]:
    """Return gates plus a perturbation of the candidates' gates, projected to the simplex as in the authors' code.

    Sums are clipped to [0, 1] and divided by their sum over each edge; where that is 0, the largest becomes 1. Gates of
    exactly 0, of candidates that are not allowed, not sampled or removed, stay 0.

    Args:
        gates: all gates of a pass.
        deltas: table label -> ``(e, o)``.
    """
    result = dict(gates)
    for label, delta in deltas.items():
        used = gates[label] != 0
        moved = gates[label] + delta
        rows = moved.clamp(0, 1) * used
        total = rows.sum(1, keepdim=True)
        largest = moved.masked_fill(~used, -torch.inf).argmax(1, keepdim=True)
        corner = torch.zeros_like(rows).scatter_(1, largest, 1.0) * used
        result[label] = torch.where(total > 0, rows / total.clamp_min(torch.finfo(rows.dtype).tiny), corner)
    return result


RS = Method(perturb=RandomSmoothing())
ADV = Method(perturb=Adversarial())
