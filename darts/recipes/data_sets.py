"""Data sets as recipes use them: with the augmentation of the DARTS papers."""

from dataclasses import replace

from darts.config import CanvasConfig, CanvasDataConfig, DataConfig

DIGITS = DataConfig("digits", crop_padding=1)
DIGITS201 = DataConfig("digits201")
"""The digits benchmark's images, without augmentation, as the benchmark trains."""
MNIST = DataConfig("mnist", crop_padding=2)
FASHION_MNIST = DataConfig("fashion_mnist", crop_padding=2, flip=True)
CIFAR10 = DataConfig("cifar10", crop_padding=4, flip=True)
CIFAR100 = DataConfig("cifar100", crop_padding=4, flip=True)
SVHN = DataConfig("svhn", crop_padding=4)
FOLDER = DataConfig("folder", crop_padding=4)
NPZ = DataConfig("npz", crop_padding=4)
"""Your own images are not mirrored: digits, letters and organs mean something else then. Ask for it: ``data.flip``."""
FULL_CANVAS = CanvasConfig(full=True, rotation=10.0, train=2500)
"""Training canvases of as many digits as test canvases have at most."""
SEGMENTATION_DIGITS = CanvasDataConfig("segmentation_digits", canvas=FULL_CANVAS)
DETECTION_DIGITS = CanvasDataConfig("detection_digits", canvas=FULL_CANVAS)
FEW_CANVASES = replace(FULL_CANVAS, train=1500)
"""For searches, which compute every candidate."""
MANY_CANVASES = replace(FULL_CANVAS, train=7500, rotation=15.0)
MNIST_CANVAS = CanvasConfig(size=64, objects=6, smallest=18, largest=28, train=10_000, test=1000)
SEGMENTATION_MNIST = CanvasDataConfig("segmentation_mnist", crop_padding=4, canvas=MNIST_CANVAS)
DETECTION_MNIST = CanvasDataConfig("detection_mnist", crop_padding=4, canvas=MNIST_CANVAS)
SENTENCES = DataConfig("csv")

IMAGENET = DataConfig("imagenet", size=224, flip=True)
IMAGENET_SEARCH = replace(IMAGENET, jitter=False)
"""As PC-DARTS and DrNAS search."""

IMAGENET_SHARES: dict[str, float] = dict(train_share=0.1, valid_share=0.025)
"""Shares of each class's images, as PC-DARTS and DrNAS search."""


def with_cutout(data: DataConfig, size: int = 16) -> DataConfig:
    """Return a data set whose training images lose a square by cutout, as the final networks train."""
    return replace(data, cutout=size)
