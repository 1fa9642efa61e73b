"""Searches for segmentation and detection: digits on canvases, MNIST on canvases, and images of your own.

No number is published for these protocols; ``benchmarks/README.md`` has what was measured.
"""

from dataclasses import replace

from darts.config import LogitsConfig, SearchConfig, SearchSpaceConfig, WeightsConfig
from darts.recipes.data_sets import (
    DETECTION_DIGITS,
    DETECTION_MNIST,
    SEGMENTATION_DIGITS,
    SEGMENTATION_MNIST,
)
from darts.recipes.recipe import for_data, recipe


@recipe
def segmentation_digits() -> SearchConfig:
    """First-order DARTS for semantic segmentation of canvases composed of scikit-learn's digits, which are included.
    No number is published."""
    return SearchConfig(
        data=SEGMENTATION_DIGITS,
        space=SearchSpaceConfig(channels=4, layers=3, stem="strided"),
        weights=WeightsConfig(lr=0.1, lr_min=0.01),
        logits=LogitsConfig(lr=0.02),
        epochs=5,
        batch_size=32,
    )


@recipe
def detection_digits() -> SearchConfig:
    """First-order DARTS for detection on canvases composed of scikit-learn's digits, which are included. No number is
    published."""
    return for_data(segmentation_digits, DETECTION_DIGITS)


@recipe
def segmentation_mnist() -> SearchConfig:
    """First-order DARTS for semantic segmentation of canvases composed of MNIST. No number is published."""
    return replace(for_data(segmentation_digits, SEGMENTATION_MNIST), batch_size=64)


@recipe
def detection_mnist() -> SearchConfig:
    """First-order DARTS for detection on canvases composed of MNIST. No number is published."""
    return for_data(segmentation_mnist, DETECTION_MNIST)
