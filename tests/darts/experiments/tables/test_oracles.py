"""Exact figures of NAS-Bench-201's table: by definition on made-up values, and those of the real table."""

import os
from pathlib import Path

import numpy as np
import pytest

from darts.benchmarks.nasbench201 import NASBench201
from darts.experiments.tables.oracles import ascents, best_of, neighbour_numbers, numbered, oracles, pareto
from genotypes.types.nasbench201 import NASBENCH201_OPS

ROOT = os.environ.get("DATA_ROOT")
TABLE = Path(ROOT or ".") / "nasbench201" / "nb201.csv"
EXACT = {
    "cifar10": (83.67, 12.80, 87.06, 12.93, 91.607, 94.373, 94.373, 0.772, 0.753, 0.578, 14, 0.9916, 18, 0.502),
    "cifar100": (61.28, 12.14, 61.41, 12.17, 73.493, 73.513, 73.513, 0.825, 0.728, 0.553, 13, 0.9757, 27, 0.619),
    "imagenet16": (33.79, 9.24, 33.59, 9.51, 46.733, 46.200, 47.311, 0.818, 0.692, 0.520, 13, 0.9583, 46, 0.051),
}
NAMES = (
    "valid_mean",
    "valid_std",
    "test_mean",
    "test_std",
    "best_valid",
    "test_of_best_valid",
    "best_test",
    "rho_valid_12_test",
    "rho_parameters_test",
    "tau_parameters_test",
    "pareto_points",
    "hypervolume",
    "local_optima",
    "share_that_reaches_the_best",
)
BEST_OF_100 = {"cifar10": (93.79, 0.27), "cifar100": (71.41, 0.86), "imagenet16": (45.41, 0.75)}


@pytest.mark.skipif(not TABLE.is_file(), reason="needs nasbench201/nb201.csv in the folder DATA_ROOT")
@pytest.mark.parametrize("data", EXACT)
def test_the_exact_figures_of_the_table(data):
    found = oracles(NASBench201(TABLE), data)
    for name, wanted in zip(NAMES, EXACT[data]):
        assert found[name] == pytest.approx(wanted, abs=0.0051 if wanted > 1 else 0.00051), name
    assert found["rho_multiply_adds_test"] == pytest.approx(found["rho_parameters_test"])
    assert found["best_of_100"] == pytest.approx(BEST_OF_100[data], abs=0.08)


def test_neighbours_differ_in_one_edge():
    genotypes, around = numbered(), neighbour_numbers()
    for number in (0, 7, 15624):
        found = {genotypes[other].ops for other in around[number]}
        assert len(found) == 24
        assert all(sum(a != b for a, b in zip(ops, genotypes[number].ops)) == 1 for ops in found)
    assert len({genotype.ops for genotype in genotypes}) == len(NASBENCH201_OPS) ** 6


def test_a_front_of_three_points():
    accuracy, cost = np.array([50.0, 100.0, 80.0, 40.0, 60.0]), np.array([1.0, 3.0, 2.0, 2.5, 5.0])
    points, volume = pareto(accuracy, cost)
    assert points == 3
    assert volume == pytest.approx((50 * 4 + 30 * 3 + 20 * 2) / (100 * 4))


def test_a_single_peak_is_reached_from_everywhere():
    values = -np.arange(15625.0)
    assert ascents(values) == (1, 1.0)
    values[15624] = 1.0
    optima, share = ascents(values)
    assert optima == 2 and share == pytest.approx(25 / 15625)


def test_the_best_of_a_sample_in_closed_form():
    valid, test = np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 60.0])
    mean, spread = best_of(valid, test, 2)
    pairs = [test[max(i, j)] for i in range(3) for j in range(3)]
    assert (mean, spread) == pytest.approx((np.mean(pairs), np.std(pairs)))
