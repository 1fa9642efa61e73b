"""Estimates from few samples, each with its uncertainty: rank correlations, differences of means, the best of N.

Intervals are percentiles of a bootstrap; tests are permutation tests, which assume no distribution.

Axes: ``n`` sample, ``r`` repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import comb
from statistics import stdev
from typing import Any

import numpy as np
from scipy.stats import bootstrap, kendalltau, permutation_test, spearmanr

CONFIDENCE = 0.95
RESAMPLES = 1000
PERMUTATIONS = 10_000
"""Divisions that a permutation test compares; where there are fewer, it compares all."""

CORRELATIONS: dict[str, Callable[[Any, Any], Any]] = {"spearman": spearmanr, "kendall": kendalltau}


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        value: estimated from all samples.
        low, high: ends of the interval of ``CONFIDENCE``.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def rounded(self, digits: int = 4) -> list[float]:
        """Return value, low and high, as results hold them."""
        return [round(each, digits) for each in (self.value, self.low, self.high)]


def correlation(name: str, values: np.ndarray, truth: np.ndarray) -> Estimate:
    """Return a rank correlation, with its sign; samples are drawn again for the interval.

    Args:
        name: a row of ``CORRELATIONS``.
        values, truth: ``(n,)`` each.
    """
    statistic = CORRELATIONS[name]
    return _bootstrapped(lambda a, b: float(statistic(a, b)[0]), (values, truth), paired=True)


def correlation_difference(name: str, values: np.ndarray, baseline: np.ndarray, truth: np.ndarray) -> Estimate:
    """Return by how much a figure ranks better than another one, on the same samples: ``|corr(a)| - |corr(b)|``."""
    statistic = CORRELATIONS[name]

    def difference(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return abs(float(statistic(a, c)[0])) - abs(float(statistic(b, c)[0]))

    return _bootstrapped(difference, (values, baseline, truth), paired=True)


def spread(values: Sequence[float]) -> float:
    """Return the sample standard deviation; 0 of one value."""
    return stdev(values) if len(values) > 1 else 0.0


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Return the mean of one group minus that of another; both groups are drawn again for the interval."""
    return _bootstrapped(_difference, (np.array(first), np.array(second)), paired=False)


def relative_improvement(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Return ``100 (m - r) / r`` of the means of two groups, in percent (Yang et al. 2020)."""
    return _bootstrapped(
        lambda a, b: 100 * _difference(a, b) / float(np.mean(b)), (np.array(first), np.array(second)), paired=False
    )


def permutation_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of a difference of means between two groups of independent samples."""
    found = permutation_test((first, second), _difference, n_resamples=PERMUTATIONS, rng=np.random.default_rng(0))
    return float(found.pvalue)


def smallest_p(first: int, second: int) -> float:
    """Return the least p-value that ``permutation_p`` can give for groups of these sizes: both ends, of all divisions.

    Of two groups of one size, each division has a mirror image, which is as extreme.
    """
    return min(1.0, 2 / comb(first + second, first))


def best_of(accuracies: np.ndarray, size: int) -> float:
    """Return the expected accuracy of the best of ``size`` architectures that are drawn without repeats.

    With several trainings of each architecture, one training chooses the best and the others judge it, so that chance
    in the chosen training does not count; with one, it does both, and the result is too high by that chance.

    Args:
        accuracies: of each training, ``(n, r)``.
        size: from 1 to ``n``.
    """
    repeats = accuracies.shape[1]
    if repeats == 1:
        return _best_of(accuracies[:, 0], accuracies[:, 0], size)
    pairs = permutations(range(repeats), 2)
    return float(np.mean([_best_of(accuracies[:, chosen], accuracies[:, judged], size) for chosen, judged in pairs]))


def _best_of(chosen_by: np.ndarray, judged_by: np.ndarray, size: int) -> float:
    """Return the expected ``judged_by``, ``(n,)``, of the best by ``chosen_by``, ``(n,)``.

    The architecture of rank ``k``, counted from 0 for the worst, is the best of ``C(k, size - 1)`` of the
    ``C(n, size)`` samples.
    """
    count = len(chosen_by)
    order = np.argsort(chosen_by, kind="stable")
    chances = np.array([comb(rank, size - 1) / comb(count, size) for rank in range(count)])
    return float(chances @ judged_by[order])


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean(first) - np.mean(second))


def _bootstrapped(statistic: Callable[..., float], samples: tuple[np.ndarray, ...], paired: bool) -> Estimate:
    value = statistic(*samples)
    if min(map(len, samples)) < 2:
        return Estimate(value, float("-inf"), float("inf"))
    found = bootstrap(
        samples,
        statistic,
        paired=paired,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = found.confidence_interval
    return Estimate(value, float(low), float(high))
