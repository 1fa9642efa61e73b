"""Searches and retrainings of transformers at small size, for images and for translation.

AutoFormer (Chen et al. 2021) trains sampled slices of one supernet, then evolves architectures that are judged by its
weights. No number is published for these protocols.
"""

from __future__ import annotations

from dataclasses import replace

from darts.config import (
    DataConfig,
    LogitsConfig,
    MethodConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    WeightsConfig,
)
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.recipes.data_sets import CIFAR10, DIGITS, MNIST
from darts.recipes.recipe import recipe

ADAMW = WeightsConfig(optimizer="adamw", lr=1e-3, lr_min=0.0, warmup=2, weight_decay=0.05, clip=1.0)
FAST = replace(ADAMW, lr=5e-3)
"""For networks of few weights, trained in few steps."""

SMALL = SearchSpaceConfig(name="vit", channels=48, layers=4, patches=(2, 4))
MEDIUM = SearchSpaceConfig(name="vit", channels=96, layers=6, patches=(4, 7))
LARGE = SearchSpaceConfig(name="vit", channels=192, layers=9, patches=(4, 8))


def _weights(space: SearchSpaceConfig) -> WeightsConfig:
    return FAST if space.channels <= 48 else ADAMW


def _search(data: DataConfig, space: SearchSpaceConfig, epochs: int, batch_size: int = 64) -> SearchConfig:
    return SearchConfig(
        data=data,
        space=space,
        weights=_weights(space),
        logits=LogitsConfig(lr=0.02),
        epochs=epochs,
        batch_size=batch_size,
    )


def _evolution(
    data: DataConfig, space: SearchSpaceConfig, budget: BudgetConfig, batch_size: int = 64
) -> BlackboxConfig:
    return BlackboxConfig(
        data=data,
        space=space,
        strategy="evolution:population=20,sample=5",
        evaluator="shared",
        budget=budget,
        weights=_weights(space),
        batch_size=batch_size,
    )


def _retraining(data: DataConfig, space: SearchSpaceConfig, epochs: int, batch_size: int = 64) -> RetrainConfig:
    return RetrainConfig(
        data=data,
        space=space.of_networks,
        weights=_weights(space),
        epochs=epochs,
        batch_size=batch_size,
        auxiliary=0.0,
        drop_path=0.0,
    )


@recipe
def darts_vit_digits() -> SearchConfig:
    """First-order DARTS among small vision transformers, scikit-learn's digits: patch, width and depth; attention or
    convolution, heads, kernel and ratio of each block, in one supernet of entangled weights. No number is published;
    measured: 98.24 +- 0.32 % test accuracy after retraining, three seeds."""
    return _search(DIGITS, SMALL, 10)


@recipe
def darts_vit_mnist() -> SearchConfig:
    """First-order DARTS among vision transformers, MNIST. No number is published."""
    return _search(MNIST, MEDIUM, 10, 128)


@recipe
def darts_vit_cifar10() -> SearchConfig:
    """First-order DARTS among vision transformers, CIFAR-10. No number is published."""
    return _search(CIFAR10, LARGE, 50, 128)


@recipe
def evolution_vit_digits() -> BlackboxConfig:
    """AutoFormer's search on scikit-learn's digits: 30 epochs of a supernet of which slices are sampled, then 100
    architectures by regularized evolution, judged by its weights."""
    return _evolution(DIGITS, SMALL, BudgetConfig(trials=100, epochs=30))


@recipe
def evolution_vit_mnist() -> BlackboxConfig:
    """AutoFormer's search on MNIST: 10 epochs of a supernet, then 200 architectures. No number is published."""
    return _evolution(MNIST, MEDIUM, BudgetConfig(trials=200, epochs=10), 128)


@recipe
def evolution_vit_cifar10() -> BlackboxConfig:
    """AutoFormer's search on CIFAR-10: 200 epochs of a supernet, then 1,000 architectures. No number is published for
    this size."""
    return _evolution(CIFAR10, LARGE, BudgetConfig(trials=1000, epochs=200), 128)


@recipe
def vit_digits() -> RetrainConfig:
    """A vision transformer on scikit-learn's digits, from scratch."""
    return _retraining(DIGITS, SMALL, 50, 32)


@recipe
def vit_mnist() -> RetrainConfig:
    """A vision transformer on MNIST, from scratch."""
    return _retraining(MNIST, MEDIUM, 20, 128)


@recipe
def vit_cifar10() -> RetrainConfig:
    """A vision transformer on CIFAR-10, from scratch. No number is published for this size."""
    return _retraining(CIFAR10, LARGE, 200, 128)


SAMPLED = LogitsConfig(lr=0.02, weight_decay=0.0)
"""For GDAS: the gradient that a sampled gate passes on at a high temperature is about 1e-5 here. The usual weight
decay, 1e-3 times the logit, outweighs it before a logit has moved by 0.02."""

REVERSED = DataConfig("reversed_digits")
PAIRS = DataConfig("pairs")
TRANSLATION = SearchSpaceConfig(name="translation", channels=32, layers=1)


@recipe
def gdas_translation_reversed_digits() -> SearchConfig:
    """GDAS among encoder-decoders with the vocabulary of the Evolved Transformer, on reversed strings of digits.
    No number is published; measured: all test strings are reversed exactly after retraining, three seeds."""
    search = _search(REVERSED, TRANSLATION, 6)
    return replace(search, method=MethodConfig("gdas"), logits=SAMPLED, train_share=0.75, valid_share=0.125)


@recipe
def gdas_translation_pairs() -> SearchConfig:
    """GDAS among encoder-decoders with the vocabulary of the Evolved Transformer, on a file of sentences and their
    translations. No number is published."""
    search = _search(PAIRS, replace(TRANSLATION, channels=128), 20)
    return replace(search, method=MethodConfig("gdas"), logits=SAMPLED)


@recipe
def evolution_translation_reversed_digits() -> BlackboxConfig:
    """Regularized evolution among encoder-decoders on reversed strings of digits: 30 epochs of a supernet, then 100
    architectures, judged by its weights."""
    return _evolution(REVERSED, TRANSLATION, BudgetConfig(trials=100, epochs=30))


@recipe
def translation_reversed_digits() -> RetrainConfig:
    """An encoder-decoder on reversed strings of digits, from scratch."""
    return _retraining(REVERSED, TRANSLATION, 10)


@recipe
def translation_pairs() -> RetrainConfig:
    """An encoder-decoder on a file of sentences and their translations, from scratch. No number is published."""
    return _retraining(PAIRS, replace(TRANSLATION, channels=256, layers=2), 40)
