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
        return moved(gates, uniform(problem, gates, linear(self.first, self.last, problem.progress)))


@dataclass(frozen=True)
class Adversarial(Component):
    """The worst gates in the box, by ``steps`` signed gradient steps of ``2 r / steps`` from a random point.

    The loss is that of the training batch in evaluation mode. With ``revert``, as the authors' code does, gates that
    do not raise the loss are not used.
    """

    first: float = 0.03
    last: float = 0.3
    steps: int = 7
    revert: bool = False

    def __post_init__(self) -> None:
        require(self, from_0=("first", "last"), from_1=("steps",))

    def requirements(self) -> Requirements:
        return Requirements(excludes={"independent": NOT_ON_THE_SIMPLEX})

    def __call__(self, problem: SearchProblem, gates: Gates, batch: Batch) -> Gates:
        if not (self.first or self.last):
            return gates
        radius = linear(self.first, self.last, problem.progress)
        delta = uniform(problem, gates, radius)
        for _ in range(self.steps):
            delta = {label: d.requires_grad_() for label, d in delta.items()}
            grads = gradient(problem.loss_in_evaluation(moved(gates, delta), batch), delta)
            size = 2 * radius / self.steps
            delta = {
                label: (d + size * grads[label].sign()).detach().clamp(-radius, radius) for label, d in delta.items()
            }
        worst = moved(gates, delta)
        if self.revert:
            with torch.no_grad():
                before, after = (problem.loss_in_evaluation(g, batch) for g in (gates, worst))
            return {label: torch.where(after <= before, g, worst[label]) for label, g in gates.items()}
        return worst


def uniform(problem: SearchProblem, gates: Gates, radius: Tensor) -> dict[str, Tensor]:
    """Return uniform noise in ``[-radius, radius]`` for each gate of a candidate."""
    draw = {t.label: torch.empty_like(gates[t.label]) for t in problem.tables}
    return {label: noise.uniform_(generator=problem.generator) * (2 * radius) - radius for label, noise in draw.items()}


def moved(gates: Gates, delta: Gates) -> Gates:
    """Return gates plus ``delta``, clipped to [0, 1] and normalized over each edge; gates of exactly 0 stay 0."""
    result = dict(gates)
    for label, d in delta.items():
        rows = (gates[label] + d).clamp(0, 1) * (gates[label] != 0)
        total = rows.sum(1, keepdim=True)
        result[label] = torch.where(total > 0, rows / total.clamp_min(torch.finfo(rows.dtype).tiny), gates[label])
    return result


RS = Method(perturb=RandomSmoothing())
ADV = Method(perturb=Adversarial())
