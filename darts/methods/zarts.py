"""ZARTS: zero-order architecture search (Wang et al. 2022), by its Monte-Carlo global search.

The logits do not follow a gradient. Displacements of the logits are drawn around the descent direction; each is rated
by the validation loss that a copy of the weights reaches with it after some training steps, and the logits take the
mean of all displacements, weighted by ``exp(- L / temperature)`` over the density of drawing them (algorithm 2,
equation 8). A displacement of all logits together is drawn from ``(1 - mix) N(- g, s^2) + mix N(0, s^2)``; ``s`` falls
along half a cosine once the warm-up is over.

By equation 8 alone, the density of a draw of so many logits decides the weights (its logarithm varies by 9, the losses
over the temperature by 0.3): the best draw is preferred no more often than by chance. The authors' code leaves out the
Gaussians' constant and adds 1e-4 to the density, so that the losses decide; this is the default here. In their code the
inner steps train nothing, as the optimizer that takes them holds the weights of the other model: their published
figures are those of ``monte_carlo:inner=0``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.arch_optimizers import Identity
from darts.bilevel.discretization import NEVER_KEPT
from darts.bilevel.hypergradients import AHEAD, Batch, Bilevel, Params, first_order, frozen, gradient
from darts.bilevel.problem import SearchProblem
from darts.bilevel.requirements import Component, Requirements
from darts.config.ranges import require
from darts.methods.method import Method, Stage


@dataclass(frozen=True)
class MonteCarlo(Component):
    """The negative displacement, which the architecture optimizer ``identity`` subtracts.

    Attributes:
        samples: displacements that are drawn and rated in each step.
        inner: training steps of the copied weights before a displacement is rated.
        deviation: ``s`` at the beginning of the search.
        mix: share of the distribution around 0.
        temperature: of the losses.
        blend: whether a displacement is the weighted sum of a draw of either distribution, as in the authors' code,
            instead of a draw of one of them.
        floor: added to the density, whose Gaussians lack their constant, as in the authors' code; 0 for equation 8.
        begin: share of the search at which ``s`` begins to fall: the end of the warm-up.
        slip: whether the exponent of the distribution around 0 is multiplied by the variance instead of divided by it,
            as in the authors' code.
    """

    samples: int = 4
    inner: int = 10
    deviation: float = 0.025
    mix: float = 1e-3
    temperature: float = 0.01
    blend: bool = False
    floor: float = 1e-4
    begin: float = 0.2
    slip: bool = False

    def __post_init__(self) -> None:
        require(self, from_1=("samples",), from_0=("inner", "floor"))
        require(self, above_0=("deviation", "temperature"), below_1=("mix", "begin"))

    def requirements(self) -> Requirements:
        return Requirements(
            provides=frozenset({"displacement"}),
            requires={
                **AHEAD,
                "takes_displacement": "the step monte_carlo returns a displacement of the logits, no gradient",
            },
            excludes={"simplex": "the step monte_carlo displaces gates out of the simplex"},
        )

    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        assert isinstance(problem, SearchProblem) and problem.draw is not None
        descent = {name: -g for name, g in first_order(problem, train, valid).items()}
        deviation = self.deviation_at(problem.progress)
        batches = [problem.draw() for _ in range(self.inner)]
        moves = [self._drawn(problem, descent, deviation) for _ in range(self.samples)]
        losses = torch.stack([self._rated(problem, move, batches, valid) for move in moves])
        shares = self.shares(losses, torch.stack([_flat(move) for move in moves]), _flat(descent), deviation)
        return {name: -torch.tensordot(shares, torch.stack([m[name] for m in moves]), 1) for name in descent}

    def deviation_at(self, progress: Tensor) -> Tensor:
        """Return ``s`` at a progress in [0, 1], ``()``; it does not fall below a thousandth of its first value."""
        falling = ((progress - self.begin) / (1 - self.begin)).clamp_min(0)
        return (self.deviation * (1 + torch.cos(math.pi * falling)) / 2).clamp_min(1e-3 * self.deviation)

    def shares(self, losses: Tensor, delta: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return the weights of the displacements in their mean, which sum to 1, ``(n,)``.

        Args:
            losses: that they were rated by, ``(n,)``.
            delta: the displacements, ``(n, d)``.
            mean: the descent direction, ``(d,)``.
            deviation: ``s``, ``()``.
        """
        return (-losses / self.temperature - self.log_density(delta, mean, deviation)).softmax(0)

    def log_density(self, delta: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return the log-density of displacements up to a constant, ``(n,)``.

        Args:
            delta: the displacements, ``(n, d)``.
            mean: the descent direction, ``(d,)``.
            deviation: ``s``, ``()``.
        """
        near, far = (delta - mean).square().sum(1), delta.square().sum(1)
        far = far * deviation**4 if self.slip else far
        terms = [math.log1p(-self.mix) - near / (2 * deviation**2)]
        terms += [math.log(self.mix) - far / (2 * deviation**2)] if self.mix else []
        terms += [torch.full_like(near, math.log(self.floor))] if self.floor else []
        return torch.logsumexp(torch.stack(terms), 0)

    def _drawn(self, problem: SearchProblem, mean: Params, deviation: Tensor) -> dict[str, Tensor]:
        move = {}
        first = next(iter(mean.values()))
        coin = torch.empty((), dtype=first.dtype, device=first.device).uniform_(generator=problem.generator)
        for name, m in mean.items():
            near, far = (torch.empty_like(m).normal_(generator=problem.generator) * deviation for _ in range(2))
            if self.blend:
                move[name] = (1 - self.mix) * (m + near) + self.mix * far
            else:
                move[name] = torch.where(coin < self.mix, far, m + near)
        return move

    def _rated(self, problem: SearchProblem, move: Params, batches: Sequence[Batch], valid: Batch) -> Tensor:
        """Return the validation loss of a copy of the weights that was trained with the displaced logits."""
        logits = {name: logit.detach() + move[name] for name, logit in problem.logits.items()}
        weights: Mapping[str, Tensor] = frozen(problem.weights)
        decay = problem.optimizer.param_groups[0]["weight_decay"]
        for batch in batches:
            weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
            grads = gradient(problem.lower(weights, logits, batch), weights)
            eta = problem.learning_rate
            weights = {name: w.detach() - eta * (grads[name] + decay * w.detach()) for name, w in weights.items()}
        with torch.no_grad():
            return problem.upper(weights, logits, valid).detach()


def _flat(parts: Params) -> Tensor:
    return torch.cat([part.flatten() for part in parts.values()])


METHOD = Method(
    step=MonteCarlo(),
    arch_optimizer=Identity(),
    every=10,
    without=(NEVER_KEPT,),
    stages=(Stage(warmup=0.2),),
)
