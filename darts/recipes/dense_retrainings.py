"""Retrainings for segmentation and detection: digits on canvases, MNIST on canvases, and images of your own."""

from dataclasses import replace

from darts.config import RetrainConfig, SpaceConfig, WeightsConfig
from darts.recipes.data_sets import DETECTION_DIGITS, DETECTION_MNIST, SEGMENTATION_DIGITS, SEGMENTATION_MNIST
from darts.recipes.recipe import for_data, recipe


@recipe
def segmentation_digits() -> RetrainConfig:
    """A small network of the searched cells that segments canvases of scikit-learn's digits. No number is published."""
    return RetrainConfig(
        data=SEGMENTATION_DIGITS,
        space=SpaceConfig(channels=8, layers=4, stem="strided"),
        weights=WeightsConfig(lr=0.1, lr_min=0.0, warmup=1),
        epochs=25,
        batch_size=32,
        auxiliary=0.0,
        drop_path=0.0,
    )


@recipe
def detection_digits() -> RetrainConfig:
    """A small network of the searched cells that detects scikit-learn's digits on canvases. No number is published."""
    return for_data(segmentation_digits, DETECTION_DIGITS)


@recipe
def segmentation_mnist() -> RetrainConfig:
    """A network of the searched cells that segments canvases of MNIST. No number is published."""
    return replace(for_data(segmentation_digits, SEGMENTATION_MNIST), batch_size=64)


@recipe
def detection_mnist() -> RetrainConfig:
    """A network of the searched cells that detects the digits on canvases of MNIST. No number is published."""
    return for_data(segmentation_mnist, DETECTION_MNIST)
