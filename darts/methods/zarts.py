"""ZARTS: zero-order architecture search (Wang et al. 2022), by its Monte-Carlo global search.

The logits do not follow a gradient. Moves are drawn around the descent direction; each is rated by the validation loss
that a copy of the weights reaches with it after some training steps, and the logits take the mean of all moves,
weighted by ``exp(- L / temperature)`` over the density of drawing them (algorithm 2, equation 8). A move is drawn from
``(1 - mix) N(- g, s^2) + mix N(0, s^2)``, coordinate by coordinate; ``s`` falls along half a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel import SearchProblem
from darts.discretize import NEVER_KEPT
from darts.method import Method, Stage
from darts.steps import Batch, Params, first_order, frozen, gradient
from darts.updates import direct


@dataclass(frozen=True)
class MonteCarlo:
    """The move, with its sign turned, so that ``direct`` takes it.

    ``samples`` moves, each rated after ``inner`` steps. With ``blend``, as in the authors' code, a move is the weighted
    sum of a draw of either distribution, instead of a draw of one of them.
    """

    samples: int = 4
    inner: int = 10
    deviation: float = 0.025
    mix: float = 1e-3
    temperature: float = 0.01
    blend: bool = False

    def __call__(self, problem: SearchProblem, train: Batch, valid: Batch) -> dict[str, Tensor]:
        descent = {name: -g for name, g in first_order(problem, train, valid).items()}
        deviation = self.deviation * (1 + math.cos(math.pi * problem.progress)) / 2
        deviation = max(deviation, 1e-3 * self.deviation)
        batches = [problem.draw() for _ in range(self.inner)]
        moves = [self._drawn(problem, descent, deviation) for _ in range(self.samples)]
        losses = torch.stack([self._rated(problem, move, batches, valid) for move in moves])
        result = {}
        for name, mean in descent.items():
            delta = torch.stack([move[name] for move in moves])
            shares = weights_of(losses, delta, mean, deviation, self.mix, self.temperature)
            result[name] = -(shares * delta).sum(0)
        return result

    def _drawn(self, problem: SearchProblem, mean: Params, deviation: float) -> dict[str, Tensor]:
        move = {}
        for name, m in mean.items():
            near, far = (torch.empty_like(m).normal_(0, deviation, generator=problem.generator) for _ in range(2))
            if self.blend:
                move[name] = (1 - self.mix) * (m + near) + self.mix * far
            else:
                coin = torch.empty_like(m).uniform_(generator=problem.generator)
                move[name] = torch.where(coin < self.mix, far, m + near)
        return move

    def _rated(self, problem: SearchProblem, move: Params, batches: Sequence[Batch], valid: Batch) -> Tensor:
        """The validation loss of a copy of the weights that was trained with the moved logits."""
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


def weights_of(losses: Tensor, delta: Tensor, mean: Tensor, deviation: float, mix: float, temperature: float) -> Tensor:
    """The importance of each move in each coordinate, ``(n, ...)``; sums to 1 over moves.

    Args:
        losses: ``(n,)``; delta: the moves, ``(n, ...)``; mean: ``(...)``.
    """
    scale = -0.5 / deviation**2
    near, far = scale * (delta - mean).square(), scale * delta.square()
    density = torch.logsumexp(torch.stack([near + math.log1p(-mix), far + math.log(mix)]), 0)
    return (-losses.view(-1, *[1] * mean.dim()) / temperature - density).softmax(0)


METHOD = Method(
    step=MonteCarlo(),
    update=direct,
    every=10,
    without=(NEVER_KEPT,),
    stages=(Stage(warmup=0.2),),
)
