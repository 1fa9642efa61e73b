"""Surrogate models: the value of an architecture predicted from its encoding, or from gates over its decisions.

They learn from ranks: values are replaced by the normal scores of their ranks, so that architectures that do not train
at all, far below the others, do not flatten the differences between good ones.

Axes: ``m`` member of the ensemble, ``n`` point, ``f`` feature, ``u`` unit, ``b`` gates, ``d`` decision, ``o`` value of
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

LENGTHS = (1.0, 2.0, 4.0, 8.0)
NOISES = (0.01, 0.1)
"""Lengths of the kernel and variances of the noise; of all pairs the likeliest is taken."""


def normal_scores(values: Tensor) -> Tensor:
    """Return the normal scores of the ranks of some values, ``(n,)``, float64."""
    ranks = values.argsort(stable=True).argsort(stable=True).double()
    return torch.special.ndtri((ranks + 0.5) / len(values))


def ensemble(
    known: Tensor,
    values: Tensor,
    asked: Tensor,
    size: tuple[int, int],
    steps: int,
    lr: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the predictions of an ensemble of perceptrons, ``(n,)`` each.

    The members have two hidden layers, initial weights of their own, and are trained together by Adam on the mean
    squared error of all points.

    Args:
        known: encodings of the evaluated points, ``(n, f)``.
        values: of these points, ``(n,)``.
        asked: encodings of the points to predict, ``(n, f)``.
        size: members, and units of a hidden layer.
        steps, lr: of the training.
        generator: of the initial weights.
    """
    members, units = size
    weights: list[Tensor] = []
    for inputs, width in pairwise((known.shape[1], units, units, 1)):
        bound = inputs**-0.5
        for shape in ((members, inputs, width), (members, 1, width)):
            weights.append(torch.empty(shape).uniform_(-bound, bound, generator=generator).requires_grad_())
    wanted = normal_scores(values).float()
    optimizer = torch.optim.Adam(weights, lr=lr, foreach=True)
    for _ in range(steps):
        optimizer.zero_grad()
        (_perceptrons(weights, known) - wanted).square().mean(1).sum().backward()
        optimizer.step()
    with torch.no_grad():
        predictions = _perceptrons(weights, asked)
    return predictions.mean(0), predictions.std(0)


def gaussian_process(known: Tensor, values: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of a Gaussian process, ``(n,)`` each.

    The kernel is ``exp(-d / length)``, ``d`` half the number of features in which two encodings differ: of one-hot
    encodings, the number of decisions. Length and noise are those of the largest marginal likelihood.

    Args:
        known, values, asked: as of ``ensemble``.
    """
    known, asked = known.double(), asked.double()
    distances, across = (torch.cdist(x, known, p=1) / 2 for x in (known, asked))
    length, factor, solved = _likeliest(distances, normal_scores(values))
    kernel = (-across / length).exp()
    explained = torch.linalg.solve_triangular(factor, kernel.T, upper=False).square().sum(0)
    return kernel @ solved, (1 - explained).clamp_min(0).sqrt()


@dataclass(frozen=True)
class GatedProcess:
    """The mean of a Gaussian process over decisions, as a function of gates.

    Between two points the kernel is ``exp(-d / length)``, ``d`` the number of decisions in which they differ: a product
    over decisions, of which each is linear in the gates where a point is drawn by them. So the expectation of the mean
    over architectures whose decisions are drawn independently is one more evaluation of it, with gates in place of a
    point. A decision that a known point was not asked is left out of the product.

    Attributes:
        known: places of the values that the known points chose, ``(n, d)``; -1 where a decision was not asked.
        solved: weights of the known points, ``(n,)``.
        length: of the kernel.
    """

    known: Tensor
    solved: Tensor
    length: float

    @classmethod
    def fit(cls, known: Tensor, wanted: Tensor) -> GatedProcess:
        """Return the process of the likeliest length and noise.

        Args:
            known: as of the class; ``wanted``: what is learned of these points, ``(n,)``, float64.
        """
        distances = (known[:, None] != known[None]).sum(-1).double()
        length, _, solved = _likeliest(distances, wanted)
        return cls(known, solved, length)

    def expectation(self, gates: Tensor) -> Tensor:
        """Return the expected mean, ``(b,)``, under gates ``(b, d, o)`` that sum to 1 over ``o``."""
        apart = torch.exp(torch.tensor(-1 / self.length, dtype=gates.dtype))
        chosen = gates[:, torch.arange(self.known.shape[1]), self.known.clamp_min(0)]  # (b, n, d)
        factors = torch.where(self.known < 0, 1.0, apart + (1 - apart) * chosen)
        return factors.log().sum(-1).exp() @ self.solved


def _likeliest(distances: Tensor, wanted: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return length, Cholesky factor ``(n, n)`` and weights ``(n,)`` of the largest marginal likelihood.

    Args:
        distances: between the known points, ``(n, n)``.
        wanted: what is learned of them, ``(n,)``, float64.
    """
    found: list[tuple[float, float, Tensor, Tensor]] = []
    for length in LENGTHS:
        for noise in NOISES:
            covariance = (-distances / length).exp() + noise * torch.eye(len(wanted), dtype=torch.float64)
            factor = torch.linalg.cholesky(covariance)
            solved = torch.cholesky_solve(wanted[:, None], factor)[:, 0]
            likelihood = -0.5 * wanted @ solved - factor.diagonal().log().sum()
            found.append((float(likelihood), length, factor, solved))
    _, length, factor, solved = max(found, key=lambda each: each[0])
    return length, factor, solved


def _perceptrons(weights: list[Tensor], x: Tensor) -> Tensor:
    """Return the outputs of all members, ``(m, n)``, for the features ``(n, f)``."""
    x = x.expand(weights[0].shape[0], *x.shape)
    for layer in range(0, len(weights), 2):
        x = torch.baddbmm(weights[layer + 1], x, weights[layer])
        x = x.relu() if layer + 2 < len(weights) else x
    return x[..., 0]
