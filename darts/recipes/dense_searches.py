"""Searches for segmentation and detection: digits on canvases, MNIST on canvases, and images of your own.

No number is published for these protocols; ``benchmarks/README.md`` has what was measured.
"""

from dataclasses import replace

from darts.config import LogitsConfig, MethodConfig, SearchConfig, SearchSpaceConfig
from darts.recipes.data_sets import (
    DETECTION_DIGITS,
    DETECTION_MNIST,
    FEW_CANVASES,
    FULL_CANVAS,
    SEGMENTATION_DIGITS,
    SEGMENTATION_MNIST,
)
from darts.recipes.dense_retrainings import ADAMW
from darts.recipes.recipe import for_data, recipe


@recipe
def segmentation_digits() -> SearchConfig:
    """First-order DARTS in NAS-Bench-201's space, one cell in each of three stages, for semantic segmentation of
    canvases composed of scikit-learn's digits, which are included. The logits wait until the weights have learned for
    half of the search: before, skip connections and 1x1 convolutions are ahead. No number is published;
    ``benchmarks/README.md`` has what was measured."""
    return SearchConfig(
        data=replace(SEGMENTATION_DIGITS, canvas=replace(FULL_CANVAS, train=6000)),
        space=SearchSpaceConfig(name="nasbench201", channels=16, layers=1, stages=3, stem="strided"),
        method=MethodConfig(stages=("stage:warmup=0.5",)),
        weights=replace(ADAMW, lr=0.005),
        logits=LogitsConfig(lr=0.03),
        epochs=2,
        batch_size=16,
        train_share=0.6,
        valid_share=0.1,
    )


@recipe
def detection_digits() -> SearchConfig:
    """First-order DARTS among mobile networks for detection on canvases composed of scikit-learn's digits, which are
    included: kernel, expansion and depth. No number is published; ``benchmarks/README.md`` has what was measured."""
    return SearchConfig(
        data=replace(DETECTION_DIGITS, canvas=FEW_CANVASES),
        space=SearchSpaceConfig(name="mobile", channels=8, layers=6),
        weights=ADAMW,
        logits=LogitsConfig(lr=0.02),
        epochs=2,
        batch_size=32,
        train_share=0.6,
        valid_share=0.1,
    )


@recipe
def segmentation_mnist() -> SearchConfig:
    """First-order DARTS among mobile networks for semantic segmentation of canvases composed of MNIST.
    No number is published."""
    return replace(for_data(detection_digits, SEGMENTATION_MNIST), batch_size=64)


@recipe
def detection_mnist() -> SearchConfig:
    """First-order DARTS among mobile networks for detection on canvases composed of MNIST. No number is published."""
    return for_data(segmentation_mnist, DETECTION_MNIST)
