"""Surrogate models: the value of an architecture predicted from its encoding, with a standard deviation.

Both learn from ranks: values are replaced by the normal scores of their ranks, so that architectures that do not train
at all, far below the others, do not flatten the differences between good ones.

Axes: ``m`` member of the ensemble, ``n`` point, ``f`` feature, ``u`` unit.
"""

from __future__ import annotations

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
    wanted, known, asked = normal_scores(values), known.double(), asked.double()
    distances, across = (torch.cdist(x, known, p=1) / 2 for x in (known, asked))
    found: list[tuple[float, float, Tensor, Tensor]] = []
    for length in LENGTHS:
        for noise in NOISES:
            covariance = (-distances / length).exp() + noise * torch.eye(len(known), dtype=torch.float64)
            factor = torch.linalg.cholesky(covariance)
            solved = torch.cholesky_solve(wanted[:, None], factor)[:, 0]
            likelihood = -0.5 * wanted @ solved - factor.diagonal().log().sum()
            found.append((float(likelihood), length, factor, solved))
    _, length, factor, solved = max(found, key=lambda each: each[0])
    kernel = (-across / length).exp()
    explained = torch.linalg.solve_triangular(factor, kernel.T, upper=False).square().sum(0)
    return kernel @ solved, (1 - explained).clamp_min(0).sqrt()


def _perceptrons(weights: list[Tensor], x: Tensor) -> Tensor:
    """Return the outputs of all members, ``(m, n)``, for the features ``(n, f)``."""
    x = x.expand(weights[0].shape[0], *x.shape)
    for layer in range(0, len(weights), 2):
        x = torch.baddbmm(weights[layer + 1], x, weights[layer])
        x = x.relu() if layer + 2 < len(weights) else x
    return x[..., 0]
