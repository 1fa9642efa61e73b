"""Stop by the extrapolated learning curve: a trial that will hardly be as good as the best (Domhan et al. 2015).

Parametric families of saturating curves are fitted to a trial's values after each epoch. Each fit is a maximum of a
posterior, with weak Gaussian priors on its parameters, and gives a Student distribution of the value after the whole
training (Laplace's approximation). The families are mixed by the evidence of their fits. Domhan et al. average over
eleven families by Markov chain Monte Carlo; these three need no sampling, so a decision is the same at each resume.

Axes: ``n`` epoch with a value, ``p`` parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from darts.blackbox.schedulers.scheduler import Record
from darts.config.ranges import require

Array = np.ndarray


@dataclass(frozen=True)
class Family:
    """A family of curves in an asymptote, a drop and a rate, all three as real numbers.

    Attributes:
        shape: (share of the training done, ``(n,)``; parameters after the first two) -> part of the drop that is left,
            between 0 and 1.
        centre, width: of the priors on these parameters.
    """

    shape: Callable[[Array, Array], Array]
    centre: tuple[float, ...]
    width: tuple[float, ...]


FAMILIES: dict[str, Family] = {
    "pow3": Family(lambda x, p: x ** -np.exp(p[0]), (-0.5,), (0.7,)),
    "log_power": Family(lambda x, p: 1 / (1 + (x / np.exp(p[0])) ** np.exp(p[1])), (0.5, 0.0), (1.0, 0.5)),
    "exp3": Family(lambda x, p: np.exp(-np.exp(p[0]) * x), (-1.0,), (1.0,)),
}
"""Name -> ``x^-a``, ``1 / (1 + (x / e^b)^a)`` and ``e^(-a x)`` of the epoch ``x``, as in Domhan et al., table 1."""

PRIOR_FREEDOM, PRIOR_NOISE = 2.0, 0.01
"""Degrees of freedom and deviation of the prior on the noise of a value, as a share of the values' scale."""


@dataclass(frozen=True)
class Prediction:
    """A mixture of Student distributions.

    Attributes:
        weights, means, scales, freedom: of each family.
    """

    weights: Array
    means: Array
    scales: Array
    freedom: float

    def below(self, value: float) -> float:
        """Return the probability of less than ``value``."""
        return float(self.weights @ student.cdf((value - self.means) / self.scales, self.freedom))

    @property
    def mean(self) -> float:
        """The expected value."""
        return float(self.weights @ self.means)


@dataclass(frozen=True)
class LearningCurve:
    """Stop a trial whose value after the whole training is less than the best one with ``probability``.

    The best one is that of the trials that were trained to the end. A curve is fitted from ``epochs`` values on.
    """

    probability: float = 0.95
    epochs: int = 4

    def __post_init__(self) -> None:
        require(self, share=("probability",), from_2=("epochs",))

    def reason(self, trial: Record, others: Sequence[Record], epochs: int) -> str | None:
        """Return why a trial should be stopped; None where it should continue."""
        best = max((other.results[epochs] for other in others if epochs in other.results), default=None)
        if best is None or len(trial.results) < self.epochs:
            return None
        predicted = extrapolate(trial.results, epochs)
        worse = predicted.below(best)
        if worse < self.probability:
            return None
        after = f"stopped after {max(trial.results)} epochs: {predicted.mean:.4f} is expected after {epochs}"
        return f"{after}, less than the best {best:.4f} with probability {worse:.3f}"


def extrapolate(values: Mapping[int, float], epochs: int) -> Prediction:
    """Return the distribution of the value after ``epochs``.

    Args:
        values: epoch, counted from 1 -> value: a share of 1, or a loss with its sign turned.
    """
    x = np.array(sorted(values), dtype=float)
    y = np.array([values[int(epoch)] for epoch in x])
    scale = 1.0 if y.min() >= 0 else float(np.abs(y).max())
    ceiling = 1.0 if y.min() >= 0 else 0.0
    fits = [_fit(family, x, y, epochs, (ceiling, scale)) for family in FAMILIES.values()]
    means, scales, evidence = map(np.array, zip(*fits))
    weights = np.exp(evidence - evidence.max())
    return Prediction(weights / weights.sum(), means, scales, len(x) + PRIOR_FREEDOM)


def _fit(family: Family, x: Array, y: Array, epochs: int, bounds: tuple[float, float]) -> tuple[float, float, float]:
    """Return mean and scale of the value after ``epochs`` by one family, and the logarithm of its evidence."""
    ceiling, scale = bounds
    centre = np.array([0.0, 0.0, *family.centre])
    width = np.array([1.5, 1.0, *family.width])
    last = y[-1]
    room = max(ceiling - last, 0.02 * scale)

    def curve(p: Array, at: Array) -> Array:
        """The asymptote lies between a little below the last value and the ceiling."""
        asymptote = last + room * (1.5 / (1 + np.exp(-p[0])) - 0.5)
        drop = scale * np.exp(p[1] - 1)
        return asymptote - drop * family.shape(at, p[2:])

    noise = PRIOR_NOISE * scale

    def residuals(p: Array) -> Array:
        return np.concatenate([(curve(p, x) - y) / noise, (p - centre) / width])

    starts = [centre + np.array([first, 0.0, *([0.0] * (len(centre) - 2))]) for first in (-1.0, 1.0)]
    found = min((least_squares(residuals, start, max_nfev=60) for start in starts), key=lambda fit: fit.cost)
    misfit = float(np.square(found.fun[: len(x)]).sum())
    freedom = len(x) + PRIOR_FREEDOM
    inflation = (misfit + PRIOR_FREEDOM) / freedom
    precision = found.jac[: len(x)].T @ found.jac[: len(x)] / inflation + np.diag(width**-2.0)
    covariance = np.linalg.inv(precision)
    end = np.array([float(epochs)])
    gradient = np.array([_slope(curve, found.x, index, end) for index in range(len(centre))])
    variance = gradient @ covariance @ gradient + inflation * noise**2
    evidence = -freedom / 2 * np.log(inflation) - np.square(found.fun[len(x) :]).sum() / 2
    evidence -= np.linalg.slogdet(precision)[1] / 2 + np.log(width).sum()
    return float(curve(found.x, end)[0]), float(np.sqrt(variance)), float(evidence)


def _slope(curve: Callable[[Array, Array], Array], p: Array, index: int, at: Array) -> float:
    """Return the derivative of a curve's value with respect to a parameter, by central differences."""
    step = np.zeros_like(p)
    step[index] = 1e-4
    return float((curve(p + step, at) - curve(p - step, at))[0] / 2e-4)
