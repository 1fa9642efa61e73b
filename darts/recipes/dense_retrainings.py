"""Retrainings for segmentation and detection: digits on canvases, MNIST on canvases, and images of your own."""

from dataclasses import replace

from darts.config import RetrainConfig, SpaceConfig, WeightsConfig
from darts.recipes.data_sets import DETECTION_DIGITS, DETECTION_MNIST, SEGMENTATION_DIGITS, SEGMENTATION_MNIST
from darts.recipes.recipe import for_data, recipe

ADAMW = WeightsConfig(optimizer="adamw", lr=0.01, lr_min=0.0, warmup=1, weight_decay=0.01)
"""For networks of few weights, trained in few steps. Most pixels are of the ground: by SGD, the loss's mean over pixels
moves what is learned of the digits slowly."""


@recipe
def segmentation_digits() -> RetrainConfig:
    """A small mobile network that segments canvases of scikit-learn's digits. No number is published."""
    return RetrainConfig(
        data=SEGMENTATION_DIGITS,
        space=SpaceConfig(name="mobile", channels=16, layers=6),
        weights=ADAMW,
        epochs=6,
        batch_size=16,
        auxiliary=0.0,
        drop_path=0.0,
    )


@recipe
def detection_digits() -> RetrainConfig:
    """A small mobile network that detects scikit-learn's digits on canvases. No number is published."""
    return replace(for_data(segmentation_digits, DETECTION_DIGITS), epochs=3)


@recipe
def segmentation_mnist() -> RetrainConfig:
    """A mobile network that segments canvases of MNIST. No number is published."""
    return replace(for_data(segmentation_digits, SEGMENTATION_MNIST), batch_size=64)


@recipe
def detection_mnist() -> RetrainConfig:
    """A mobile network that detects the digits on canvases of MNIST. No number is published."""
    return for_data(segmentation_mnist, DETECTION_MNIST)
