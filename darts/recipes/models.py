"""Searches and retrainings in models with choices: a convolutional network and a classifier of sentences."""

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
from darts.recipes.data_sets import DIGITS, MNIST, SENTENCES
from darts.recipes.recipe import recipe


@recipe
def darts_convnet_digits() -> SearchConfig:
    """First-order DARTS in a model with choices, scikit-learn's digits: block, kernel, width, connections, activation
    and normalization of a small convolutional network."""
    return SearchConfig(
        data=DIGITS,
        space=SearchSpaceConfig(name="convnet", channels=8, layers=1),
        logits=LogitsConfig(lr=0.02),
        epochs=15,
    )


@recipe
def darts_convnet_mnist() -> SearchConfig:
    """First-order DARTS in a model with choices, MNIST: block, kernel, width, connections, activation and normalization
    of a small convolutional network. No number is published."""
    return SearchConfig(
        data=MNIST,
        space=SearchSpaceConfig(name="convnet", channels=8, layers=2),
        logits=LogitsConfig(lr=3e-3),
        epochs=3,
        batch_size=128,
    )


@recipe
def darts_textnet_csv() -> SearchConfig:
    """First-order DARTS in a classifier of sentences after the Evolved Transformer, on a CSV file of two columns.
    No number is published."""
    return SearchConfig(
        data=SENTENCES,
        space=SearchSpaceConfig(name="textnet", channels=16, layers=1),
        weights=WeightsConfig(lr=0.1, lr_min=0.01),
        logits=LogitsConfig(lr=0.02),
        epochs=20,
        batch_size=16,
    )


@recipe
def convnet_digits() -> RetrainConfig:
    """The searched convolutional network on scikit-learn's digits, from scratch."""
    return _model_final(DIGITS, SpaceConfig(name="convnet", channels=16, layers=1), 30)


@recipe
def convnet_mnist() -> RetrainConfig:
    """The searched convolutional network on MNIST, from scratch."""
    space = SpaceConfig(name="convnet", channels=16, layers=2)
    return _model_final(MNIST, space, 5)


@recipe
def textnet_csv() -> RetrainConfig:
    """The searched classifier of sentences on a CSV file of two columns, from scratch."""
    space = SpaceConfig(name="textnet", channels=16, layers=1)
    return replace(_model_final(SENTENCES, space, 30), batch_size=16)


def _model_final(data: DataConfig, space: SpaceConfig, epochs: int) -> RetrainConfig:
    return RetrainConfig(
        data=data,
        space=space,
        weights=WeightsConfig(lr=0.05, lr_min=0.0),
        epochs=epochs,
        auxiliary=0.0,
        drop_path=0.0,
    )
