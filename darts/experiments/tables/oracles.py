"""Exact figures of NAS-Bench-201's table, for a data set: what any search in it can be checked against.

Axes: ``n`` architecture, ``k`` edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from darts.benchmarks.nasbench201 import NASBench201
from darts.blackbox.pareto.fronts import Outcome, front_of, scaled_hypervolume
from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBench201Genotype

SAMPLES = (10, 100, 1000)
"""Sizes of the samples whose best by validation accuracy is tested."""


def columns(benchmark: NASBench201, data: str) -> dict[str, np.ndarray]:
    """Return the figures of a data set in percent, and the costs, ``(n,)`` each, in the order of ``numbered``."""
    names = {
        "valid": f"{data}_valid_acc",
        "test": f"{data}_test_acc",
        "valid_12": f"{data}_valid_acc_12ep",
        "parameters": f"params_{data}",
        "multiply_adds": f"mflops_{data}",
    }
    keys = [str(genotype) for genotype in numbered()]
    table = benchmark.table
    return {name: np.array([table.value(key, column) for key in keys]) for name, column in names.items()}


def numbered() -> list[NASBench201Genotype]:
    """Return all architectures: number ``sum_k operation(k) 5^k``."""
    count, edges = len(NASBENCH201_OPS), len(EDGES)
    numbers = range(count**edges)
    return [
        NASBench201Genotype(tuple(NASBENCH201_OPS[number // count**k % count] for k in range(edges)))
        for number in numbers
    ]


def neighbour_numbers() -> np.ndarray:
    """Return the numbers of the architectures that differ in one edge's operation, ``(n, 24)``."""
    count, edges = len(NASBENCH201_OPS), len(EDGES)
    numbers = np.arange(count**edges)
    found = []
    for k in range(edges):
        own = numbers // count**k % count
        found += [numbers + ((own + step) % count - own) * count**k for step in range(1, count)]
    return np.stack(found, 1)


def oracles(benchmark: NASBench201, data: str) -> dict[str, Any]:
    """Return the exact figures of a data set; accuracies in percent."""
    table = columns(benchmark, data)
    early = float(spearmanr(table["valid_12"], table["test"])[0])
    return {**exact_figures(table), "rho_valid_12_test": early}


def exact_figures(table: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what follows from the figures of all architectures.

    Args:
        table: ``valid``, ``test``, ``parameters`` and ``multiply_adds``, ``(n,)`` each, in the order of ``numbered``.
    """
    valid, test = table["valid"], table["test"]
    best = int(valid.argmax())
    points, volume = pareto(test, table["multiply_adds"])
    optima, reached = ascents(valid)
    return {
        "valid_mean": float(valid.mean()),
        "valid_std": float(valid.std()),
        "test_mean": float(test.mean()),
        "test_std": float(test.std()),
        "best_valid": float(valid[best]),
        "test_of_best_valid": float(test[best]),
        "best_test": float(test.max()),
        "rho_parameters_test": float(spearmanr(table["parameters"], test)[0]),
        "tau_parameters_test": float(kendalltau(table["parameters"], test)[0]),
        "rho_multiply_adds_test": float(spearmanr(table["multiply_adds"], test)[0]),
        "pareto_points": points,
        "hypervolume": volume,
        "local_optima": optima,
        "share_that_reaches_the_best": reached,
        **{f"best_of_{size}": best_of(valid, test, size) for size in SAMPLES},
    }


def pareto(accuracy: np.ndarray, cost: np.ndarray) -> tuple[int, float]:
    """Return the size of the front of the highest accuracy and least cost, and its hypervolume.

    The reference is the largest cost and accuracy 0; volume 1 is the best accuracy at the least cost.
    """
    values = list(zip(accuracy.tolist(), (-cost).tolist()))
    front = [values[index] for index in front_of(list(map(Outcome, values)))]
    worst, best = (0.0, -float(cost.max())), (float(accuracy.max()), -float(cost.min()))
    return len(front), scaled_hypervolume(front, worst, best)


def ascents(values: np.ndarray) -> tuple[int, float]:
    """Return the number of local optima of steepest ascent, and the share of starts that reach the best of all."""
    around = neighbour_numbers()
    steepest = around[np.arange(len(values)), values[around].argmax(1)]
    following = np.where(values[steepest] > values, steepest, np.arange(len(values)))
    optima = int((following == np.arange(len(values))).sum())
    while (further := following[following]).tolist() != following.tolist():
        following = further
    return optima, float((following == values.argmax()).mean())


def best_of(valid: np.ndarray, test: np.ndarray, size: int) -> list[float]:
    """Return mean and standard deviation of the test accuracy of the best by validation of random architectures.

    The draws are independent: the architecture of rank ``r`` from the worst of ``n`` is the best of ``size`` with
    probability ``(r / n)^size - ((r - 1) / n)^size``. No sample is drawn.
    """
    order = valid.argsort(kind="stable")
    ranks = np.arange(len(valid) + 1) / len(valid)
    chances = np.diff(ranks**size)
    mean = float(chances @ test[order])
    return [mean, float(np.sqrt(chances @ (test[order] - mean) ** 2))]
