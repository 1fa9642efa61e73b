"""Retrainings for segmentation and detection: digits on canvases, MNIST on canvases, and images of your own."""

from dataclasses import replace

from darts.config import RetrainConfig, SpaceConfig, WeightsConfig
from darts.recipes.data_sets import (
    DETECTION_DIGITS,
    DETECTION_MNIST,
    MANY_CANVASES,
    SEGMENTATION_DIGITS,
    SEGMENTATION_MNIST,
)
from darts.recipes.recipe import for_data, recipe

ADAMW = WeightsConfig(optimizer="adamw", lr=0.01, lr_min=0.0, weight_decay=0.01)
"""For networks of few weights, trained in few steps. Most pixels are of the ground: by SGD, the loss's mean over pixels
moves what is learned of the digits slowly."""


@recipe
def segmentation_digits() -> RetrainConfig:
    """A small network of NAS-Bench-201's space that segments canvases of scikit-learn's digits: many canvases, seen a
    few times, since a canvas is learned by heart sooner than its digits. No number is published."""
    return RetrainConfig(
        data=replace(SEGMENTATION_DIGITS, canvas=MANY_CANVASES),
        space=SpaceConfig(name="nasbench201", channels=16, layers=1, stages=3),
        weights=replace(ADAMW, lr=0.004, weight_decay=0.05),
        epochs=5,
        batch_size=16,
        auxiliary=0.0,
        drop_path=0.0,
    )


@recipe
def detection_digits() -> RetrainConfig:
    """A small mobile network that detects scikit-learn's digits on canvases. No number is published."""
    return RetrainConfig(
        data=DETECTION_DIGITS,
        space=SpaceConfig(name="mobile", channels=16, layers=6),
        weights=ADAMW,
        epochs=3,
        batch_size=16,
        auxiliary=0.0,
        drop_path=0.0,
    )


@recipe
def segmentation_mnist() -> RetrainConfig:
    """A mobile network that segments canvases of MNIST. No number is published."""
    return replace(for_data(detection_digits, SEGMENTATION_MNIST), epochs=6, batch_size=64)


@recipe
def detection_mnist() -> RetrainConfig:
    """A mobile network that detects the digits on canvases of MNIST. No number is published."""
    return for_data(segmentation_mnist, DETECTION_MNIST)
