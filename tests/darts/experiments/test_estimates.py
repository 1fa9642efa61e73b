"""Estimates with their uncertainty, against enumeration and against what is known exactly."""

from itertools import combinations, product

import numpy as np
import pytest

from darts.experiments import estimates


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer resamples than an experiment takes."""
    monkeypatch.setattr(estimates, "RESAMPLES", 200)


def test_a_rank_correlation_keeps_its_sign_and_has_an_interval():
    generator = np.random.default_rng(1)
    truth = generator.normal(size=200)
    values = -truth + 0.5 * generator.normal(size=200)
    for name in estimates.CORRELATIONS:
        found = estimates.correlation(name, values, truth)
        assert -1 < found.low < found.value < found.high < -0.4
        assert found.high - found.low < 0.25, "200 samples give more than this"
    assert estimates.correlation("spearman", truth, truth).rounded() == [1, 1, 1]


def test_a_better_proxy_is_above_a_worse_one_whatever_their_signs():
    generator = np.random.default_rng(2)
    truth = generator.normal(size=100)
    good, bad = -truth + 0.2 * generator.normal(size=100), generator.normal(size=100)
    found = estimates.correlation_difference("spearman", good, bad, truth)
    assert 0.3 < found.low < found.value


def test_differences_of_means():
    first, second = [3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 2.0]
    found = estimates.mean_difference(first, second)
    assert found.value == pytest.approx(2) and 0.7 < found.low < 2 < found.high < 3.3
    assert estimates.relative_improvement(first, second).value == pytest.approx(100)
    assert estimates.relative_improvement(second, first).value == pytest.approx(-50)
    alone = estimates.mean_difference([1.0], [2.0, 3.0])
    assert alone.value == -1.5 and alone.low == float("-inf"), "one sample has no interval"


def test_p_values_are_those_of_all_divisions():
    first, second = [5.0, 6.0, 7.0], [1.0, 2.0, 3.0, 4.0]
    assert estimates.permutation_p(first, second) == pytest.approx(2 / 35)
    assert estimates.smallest_p(3, 4) == pytest.approx(2 / 35)
    assert estimates.permutation_p([1.0, 2.0], [1.0, 2.0]) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_best_of_some_architectures_is_that_of_all_samples(size):
    accuracies = np.random.default_rng(3).normal(size=(5, 3))
    judged = []
    for sample in combinations(range(5), size):
        for chosen, other in product(range(3), repeat=2):
            if chosen != other:
                best = max(sample, key=lambda number: accuracies[number, chosen])
                judged.append(accuracies[best, other])
    assert estimates.best_of(accuracies, size) == pytest.approx(np.mean(judged))
    alone = accuracies[:, :1]
    largest = [alone[list(sample)].max() for sample in combinations(range(5), size)]
    assert estimates.best_of(alone, size) == pytest.approx(np.mean(largest))
