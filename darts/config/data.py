"""The data set of a run, and how its training examples are augmented."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from darts.config.canvas import CanvasConfig
from darts.config.fields import Resume
from darts.config.ranges import NOT_NEGATIVE, POSITIVE, at_most

DataName = Literal[
    "digits", "digits201", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "imagenet", "folder", "npz", "csv",
    "text", "ptb", "wikitext2", "segmentation_digits", "segmentation_mnist", "segmentation_folder",
    "detection_digits", "detection_mnist", "detection_coco", "pairs", "reversed_digits",
]  # fmt: skip


@dataclass(frozen=True)
class DataConfig:
    """The data set, and how its training images are augmented."""

    name: DataName = "digits"
    """The data set. Your own: folder (images in torchvision's ImageFolder layout), npz (a file of arrays), csv (a file
    of sentences and labels), text (running text: one file, or a folder with train, valid and test), pairs (a file of
    sentences and their translations), segmentation_folder (images with masks), detection_coco (images with boxes in
    COCO's JSON files)."""
    root: Annotated[Path | None, Resume.FREE] = None
    """The folder or file of the data set (digits need none)."""
    download: Annotated[bool, Resume.FREE] = False
    """Download the data set if it is not there (torchvision's data sets)."""
    size: Annotated[int | None, POSITIVE, at_most(16_384)] = None
    """Height and width in pixels that the images of a folder are resized to; inferred from the images by default."""
    limit: Annotated[int | None, POSITIVE] = None
    """Use at most this many examples of each split (tokens of each part of a text), in the classes' proportions."""
    crop_padding: Annotated[int, NOT_NEGATIVE, at_most(16_384)] = 0
    """Zeros around a training image before a random crop, in pixels."""
    flip: bool = False
    """Mirror half of the training images (random horizontal flip)."""
    cutout: Annotated[int, NOT_NEGATIVE] = 0
    """Side of the square that cutout sets to zero, in pixels; 0 for no cutout."""
    cutout_rises: bool = False
    """Apply cutout with a probability that rises linearly over the epochs, from 0 to 1 (R-DARTS)."""
    jitter: bool = True
    """Color jitter (brightness, contrast, saturation) of training images that are read from disk (ImageNet)."""
    workers: Annotated[int, NOT_NEGATIVE, at_most(4096), Resume.FREE] = 4
    """Processes that decode images which do not fit into memory."""
    canvas: ClassVar[CanvasConfig] = CanvasConfig()
    """For the data sets composed of digits; an option in ``CanvasDataConfig``."""


@dataclass(frozen=True)
class CanvasDataConfig(DataConfig):
    """A data set composed of digits on canvases, and how its training images are augmented."""

    canvas: CanvasConfig = field(default_factory=CanvasConfig)  # type: ignore[misc]
