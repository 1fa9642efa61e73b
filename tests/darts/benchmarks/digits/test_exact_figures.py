"""Exact figures of the table that comes with the project: whoever changes it, changes these."""

import pytest

from darts.benchmarks.digits.table import Digits201
from darts.experiments.digits201 import oracles
from genotypes.types.nasbench201 import from_string

FIGURES = {
    "classes": 5234,
    "valid_mean": 46.255906,
    "test_mean": 47.708753,
    "test_std": 18.457635,
    "best_valid": 77.6,
    "test_of_best_valid": 77.905308,
    "best_test": 80.392157,
    "rho_parameters_test": 0.784941,
    "pareto_points": 8,
    "hypervolume": 0.887523,
    "local_optima": 42,
    "share_that_reaches_the_best": 0.212544,
    "tau_of_seeds": 0.855011,
    "tau_of_seeds_best_tenth": 0.188512,
}


@pytest.fixture(scope="module")
def benchmark():
    return Digits201()


def test_exact_figures(benchmark):
    found = oracles(benchmark)
    assert {name: found[name] for name in FIGURES} == pytest.approx(FIGURES, abs=1e-6)


def test_the_best_architecture_and_one_without_a_path(benchmark):
    best = benchmark.best(1)[0]
    assert benchmark.standing(best).rank == 1 and benchmark.standing(best).regret == 0
    cut = from_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    assert benchmark.standing(cut).test_accuracy < 0.15
