"""Searches without gradients whose architectures are trained for different numbers of epochs, by a scheduler."""

from __future__ import annotations

from darts.config import DataConfig, SearchSpaceConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.recipes.data_sets import CIFAR10, DIGITS, MNIST
from darts.recipes.recipe import recipe


def _digits(scheduler: str, trials: int, strategy: str = "random") -> BlackboxConfig:
    return _search(scheduler, strategy, data=DIGITS, channels=8, budget=BudgetConfig(trials=trials, epochs=9))


def _mnist(scheduler: str, trials: int, strategy: str = "random") -> BlackboxConfig:
    return _search(scheduler, strategy, data=MNIST, channels=8, budget=BudgetConfig(trials=trials, epochs=9))


def _cifar10(scheduler: str, trials: int, strategy: str = "random") -> BlackboxConfig:
    budget = BudgetConfig(trials=trials, epochs=27)
    return _search(scheduler, strategy, data=CIFAR10, channels=16, budget=budget, layers=8)


def _search(
    scheduler: str, strategy: str, *, data: DataConfig, channels: int, budget: BudgetConfig, layers: int = 3
) -> BlackboxConfig:
    space = SearchSpaceConfig(channels=channels, layers=layers)
    return BlackboxConfig(data=data, space=space, strategy=strategy, scheduler=scheduler, budget=budget)


@recipe
def asha_digits() -> BlackboxConfig:
    """ASHA among random DARTS cells on scikit-learn's digits: 27 cells for 1 epoch, the best third of them for 3, the
    best of these for 9; some minutes on 2 CPU cores."""
    return _digits("asha", 27)


@recipe
def halving_digits() -> BlackboxConfig:
    """Successive halving among random DARTS cells on scikit-learn's digits: three brackets of 9 cells."""
    return _digits("halving", 27)


@recipe
def hyperband_digits() -> BlackboxConfig:
    """Hyperband among random DARTS cells on scikit-learn's digits: one round, brackets of 9, 5 and 3 cells."""
    return _digits("hyperband", 17)


@recipe
def bohb_digits() -> BlackboxConfig:
    """BOHB among DARTS cells on scikit-learn's digits: two rounds of Hyperband."""
    return _digits("bohb", 34, "tpe")


@recipe
def asha_mnist() -> BlackboxConfig:
    """ASHA among random DARTS cells on MNIST, for 1, 3 and 9 epochs."""
    return _mnist("asha", 27)


@recipe
def halving_mnist() -> BlackboxConfig:
    """Successive halving among random DARTS cells on MNIST: three brackets of 9 cells."""
    return _mnist("halving", 27)


@recipe
def hyperband_mnist() -> BlackboxConfig:
    """Hyperband among random DARTS cells on MNIST: one round, brackets of 9, 5 and 3 cells."""
    return _mnist("hyperband", 17)


@recipe
def bohb_mnist() -> BlackboxConfig:
    """BOHB among DARTS cells on MNIST: two rounds of Hyperband."""
    return _mnist("bohb", 34, "tpe")


@recipe
def asha_cifar10() -> BlackboxConfig:
    """ASHA among random DARTS cells on CIFAR-10: 81 networks of 16 channels and 8 cells, for 1, 3, 9 and 27 epochs.

    No number is published for this protocol.
    """
    return _cifar10("asha", 81)


@recipe
def halving_cifar10() -> BlackboxConfig:
    """Successive halving among random DARTS cells on CIFAR-10: three brackets of 27 networks.

    No number is published for this protocol.
    """
    return _cifar10("halving", 81)


@recipe
def hyperband_cifar10() -> BlackboxConfig:
    """Hyperband among random DARTS cells on CIFAR-10: one round, brackets of 27, 12, 6 and 4 networks.

    No number is published for this protocol.
    """
    return _cifar10("hyperband", 49)


@recipe
def bohb_cifar10() -> BlackboxConfig:
    """BOHB among DARTS cells on CIFAR-10: two rounds of Hyperband.

    No number is published for this protocol.
    """
    return _cifar10("bohb", 98, "tpe")
