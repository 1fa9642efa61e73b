"""Searches without gradients: a strategy on NAS-Bench-201's table, or on architectures that are trained.

On the table: 12,000 seconds of the benchmark's recorded training, the reward being the validation accuracy on CIFAR-10
after 12 epochs. Published figures are test accuracies after 200 epochs on CIFAR-10 / CIFAR-100 / ImageNet16-120,
means of 500 runs (Dong and Yang 2020, quoted in Mellor et al. 2021, table 2a).
"""

from __future__ import annotations

from dataclasses import replace

from darts.config import DataConfig, SearchSpaceConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.recipes.data_sets import CIFAR10, DIGITS, MNIST
from darts.recipes.recipe import recipe


def _nasbench201(strategy: str) -> BlackboxConfig:
    return BlackboxConfig(
        data=CIFAR10,
        space=SearchSpaceConfig(name="nasbench201", layers=5),
        strategy=strategy,
        evaluator="benchmark",
        budget=BudgetConfig(seconds=12000.0),
    )


def _digits(strategy: str) -> BlackboxConfig:
    return BlackboxConfig(
        data=DIGITS,
        space=SearchSpaceConfig(channels=8, layers=3),
        strategy=strategy,
        budget=BudgetConfig(trials=20, epochs=5),
    )


@recipe
def random_nasbench201() -> BlackboxConfig:
    """Random search on NAS-Bench-201's table. Published: 93.70 +- 0.36 / 71.04 +- 1.07 / 44.57 +- 1.25 %."""
    return _nasbench201("random")


@recipe
def evolution_nasbench201() -> BlackboxConfig:
    """Regularized evolution on NAS-Bench-201's table, a population of 10 and samples of 3. Published: 93.92 +- 0.30 /
    71.84 +- 0.99 / 45.54 +- 1.03 %."""
    return _nasbench201("evolution:population=10,sample=3")


@recipe
def reinforce_nasbench201() -> BlackboxConfig:
    """REINFORCE on NAS-Bench-201's table. Published: 93.85 +- 0.37 / 71.71 +- 1.09 / 45.24 +- 1.18 %."""
    return _nasbench201("reinforce")


@recipe
def local_search_nasbench201() -> BlackboxConfig:
    """Local search on NAS-Bench-201's table, moving to the first better neighbour. No number is published for this
    protocol."""
    return _nasbench201("local_search:first_improvement=true")


@recipe
def genetic_nasbench201() -> BlackboxConfig:
    """A genetic algorithm on NAS-Bench-201's table. No number is published for this protocol."""
    return _nasbench201("genetic:population=20")


@recipe
def random_digits() -> BlackboxConfig:
    """Random search among DARTS cells on scikit-learn's digits: 20 architectures, 5 epochs each, a minute or two on 2
    CPU cores."""
    return _digits("random")


@recipe
def evolution_digits() -> BlackboxConfig:
    """Regularized evolution among DARTS cells on scikit-learn's digits: 20 architectures, 5 epochs each."""
    return _digits("evolution:population=6,sample=3")


@recipe
def genetic_digits() -> BlackboxConfig:
    """A genetic algorithm among DARTS cells on scikit-learn's digits: 20 architectures, 5 epochs each."""
    return _digits("genetic:population=6,tournament=2,elite=1")


@recipe
def local_search_digits() -> BlackboxConfig:
    """Local search among DARTS cells on scikit-learn's digits: 20 architectures, 5 epochs each."""
    return _digits("local_search:first_improvement=true")


@recipe
def reinforce_digits() -> BlackboxConfig:
    """REINFORCE among DARTS cells on scikit-learn's digits: 20 architectures, 5 epochs each."""
    return _digits("reinforce:lr=0.1")


def _nsga2(data: DataConfig, channels: int, epochs: int) -> BlackboxConfig:
    return BlackboxConfig(
        data=data,
        space=SearchSpaceConfig(channels=channels, layers=5),
        strategy="nsga2:population=20",
        objectives="accuracy,multiply_adds",
        budget=BudgetConfig(trials=200, epochs=epochs),
    )


@recipe
def nsga2_digits() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds among DARTS cells on scikit-learn's digits: 24 architectures, 5 epochs
    each."""
    config = _digits("nsga2:population=8")
    return replace(config, objectives="accuracy,multiply_adds", budget=BudgetConfig(trials=24, epochs=5))


@recipe
def nsga2_mnist() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds among DARTS cells on MNIST: 200 architectures, 3 epochs each."""
    return _nsga2(MNIST, channels=8, epochs=3)


@recipe
def nsga2_cifar10() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds among DARTS cells on CIFAR-10: 200 architectures, 12 epochs each;
    GPU-days."""
    return _nsga2(CIFAR10, channels=16, epochs=12)


@recipe
def nsga2_nasbench201() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds on NAS-Bench-201's table, 500 architectures. Its Pareto set has 99.6 %
    of the hypervolume of the exact one on CIFAR-10 (mean of 20 seeds, test accuracy)."""
    config = replace(_nasbench201("nsga2:population=20"), objectives="accuracy,multiply_adds")
    return replace(config, budget=BudgetConfig(trials=500, epochs=200))


@recipe
def tpe_digits() -> BlackboxConfig:
    """Tree-structured Parzen estimators (Optuna) among DARTS cells on scikit-learn's digits: 20 architectures, 5 epochs
    each."""
    return _digits("tpe")
