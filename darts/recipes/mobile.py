"""Searches and retrainings of mobile networks: NAS-Bench-Macro (Su et al. 2021) and a larger space of its kind.

No number is published for these protocols; the benchmark's table tells what each architecture reaches.
"""

from __future__ import annotations

from dataclasses import replace

from darts.config import (
    DataConfig,
    LogitsConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    SpaceConfig,
    WeightsConfig,
)
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.recipes.data_sets import CIFAR10, DIGITS
from darts.recipes.recipe import recipe

NETWORK = SpaceConfig(name="nasbenchmacro", channels=32, layers=8)
"""At the benchmark's own size."""


def _search(data: DataConfig, space: str, channels: int, layers: int, epochs: int) -> SearchConfig:
    return SearchConfig(
        data=data,
        space=SearchSpaceConfig(name=space, channels=channels, layers=layers),
        logits=LogitsConfig(lr=0.02),
        epochs=epochs,
    )


def _retraining(data: DataConfig, network: SpaceConfig, epochs: int, batch_size: int = 96) -> RetrainConfig:
    return RetrainConfig(
        data=data,
        space=network,
        weights=WeightsConfig(lr=0.1, lr_min=0.0, weight_decay=5e-4, nesterov=True),
        epochs=epochs,
        batch_size=batch_size,
        auxiliary=0.0,
        drop_path=0.0,
    )


@recipe
def darts_nasbenchmacro_cifar10() -> SearchConfig:
    """First-order DARTS in the space of NAS-Bench-Macro, CIFAR-10; --table FILE looks up what it finds.
    No number is published."""
    return replace(_search(CIFAR10, "nasbenchmacro", 32, 8, 50), logits=LogitsConfig())


@recipe
def darts_mobile_digits() -> SearchConfig:
    """First-order DARTS among mobile networks, scikit-learn's digits: kernel, expansion and depth of narrow inverted
    residuals."""
    return _search(DIGITS, "mobile", 8, 6, 10)


@recipe
def evolution_nasbenchmacro() -> BlackboxConfig:
    """Regularized evolution on NAS-Bench-Macro's table: 200 architectures, judged by one of their three
    trainings. No number is published; --benchmark.file names the table."""
    return BlackboxConfig(
        data=CIFAR10,
        space=SearchSpaceConfig(name="nasbenchmacro", channels=32, layers=8),
        strategy="evolution:population=20,sample=5",
        evaluator="benchmark",
        budget=BudgetConfig(trials=200),
    )


@recipe
def nasbenchmacro_cifar10() -> RetrainConfig:
    """A network of NAS-Bench-Macro on CIFAR-10, from scratch. No number is published for this schedule; the table tells
    what the benchmark's own training reached."""
    return _retraining(CIFAR10, NETWORK, 50, batch_size=256)


@recipe
def mobile_digits() -> RetrainConfig:
    """A narrow mobile network on scikit-learn's digits, from scratch."""
    return _retraining(DIGITS, SpaceConfig(name="mobile", channels=8, layers=6), 20)
