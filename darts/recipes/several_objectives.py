"""Searches without gradients by several objectives, accuracy and multiply-adds: NSGA-II and Pareto local search."""

from __future__ import annotations

from dataclasses import replace

from darts.config import DataConfig, SearchSpaceConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.recipes.blackbox import RECIPES
from darts.recipes.data_sets import CIFAR10, MNIST
from darts.recipes.recipe import recipe

OBJECTIVES = "accuracy,multiply_adds"


def _nsga2(data: DataConfig, channels: int, epochs: int) -> BlackboxConfig:
    return BlackboxConfig(
        data=data,
        space=SearchSpaceConfig(channels=channels, layers=5),
        strategy="nsga2:population=20",
        objectives=OBJECTIVES,
        budget=BudgetConfig(trials=200, epochs=epochs),
    )


@recipe
def nsga2_digits() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds among DARTS cells on scikit-learn's digits: 24 architectures, 5 epochs
    each."""
    config = replace(RECIPES["random_digits"](), strategy="nsga2:population=8", objectives=OBJECTIVES)
    return replace(config, budget=BudgetConfig(trials=24, epochs=5))


@recipe
def nsga2_mnist() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds among DARTS cells on MNIST: 200 architectures, 3 epochs each."""
    return _nsga2(MNIST, channels=8, epochs=3)


@recipe
def nsga2_cifar10() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds among DARTS cells on CIFAR-10: 200 architectures, 12 epochs each;
    GPU-days. No number is published for this protocol."""
    return _nsga2(CIFAR10, channels=16, epochs=12)


@recipe
def nsga2_nasbench201() -> BlackboxConfig:
    """NSGA-II for accuracy and few multiply-adds on NAS-Bench-201's table, 500 architectures. Its Pareto set has 99.6 %
    of the hypervolume of the exact one on CIFAR-10 (mean of 20 seeds, test accuracy). No number is published for this
    protocol."""
    config = replace(RECIPES["random_nasbench201"](), strategy="nsga2:population=20", objectives=OBJECTIVES)
    return replace(config, budget=BudgetConfig(trials=500, epochs=200))


@recipe
def pareto_local_search_digits() -> BlackboxConfig:
    """Pareto local search for accuracy and few multiply-adds among DARTS cells on scikit-learn's digits: 24
    architectures, 5 epochs each."""
    return replace(nsga2_digits(), strategy="pareto_local_search:first=4")


@recipe
def pareto_local_search_mnist() -> BlackboxConfig:
    """Pareto local search for accuracy and few multiply-adds among DARTS cells on MNIST: 200 architectures, 3 epochs
    each."""
    return replace(nsga2_mnist(), strategy="pareto_local_search")


@recipe
def pareto_local_search_cifar10() -> BlackboxConfig:
    """Pareto local search for accuracy and few multiply-adds among DARTS cells on CIFAR-10: 200 architectures, 12
    epochs each; GPU-days. No number is published for this protocol."""
    return replace(nsga2_cifar10(), strategy="pareto_local_search")


@recipe
def pareto_local_search_nasbench201() -> BlackboxConfig:
    """Pareto local search for accuracy and few multiply-adds on NAS-Bench-201's table, 500 architectures. Its Pareto
    set has 99.7 % of the hypervolume of the exact one on CIFAR-10 (mean of 20 seeds, test accuracy). No number is
    published for this protocol."""
    return replace(nsga2_nasbench201(), strategy="pareto_local_search")
