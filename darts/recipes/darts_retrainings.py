"""Retrainings of DARTS's cells: the evaluation protocols of the DARTS paper, the digits, and images of your own.

A number is *published* where the paper or its code's README states it, and *quoted* where another paper's table does;
a number that could be verified in neither is not given.
"""

from darts.config import RetrainConfig, SpaceConfig, WeightsConfig
from darts.recipes.data_sets import (
    CIFAR10,
    CIFAR100,
    DIGITS,
    FASHION_MNIST,
    FOLDER,
    IMAGENET,
    MNIST,
    NPZ,
    SVHN,
    with_cutout,
)
from darts.recipes.recipe import for_data, recipe


@recipe
def digits() -> RetrainConfig:
    """A small network of the searched cells on scikit-learn's digits, in half a minute on 2 CPU cores."""
    return RetrainConfig(
        data=DIGITS,
        space=SpaceConfig(channels=16, layers=5),
        weights=WeightsConfig(lr_min=0.0),
        epochs=20,
        drop_path=0.1,
    )


@recipe
def darts_cifar10() -> RetrainConfig:
    """The DARTS evaluation protocol on CIFAR-10: 20 cells, 36 channels, 600 epochs. Published for DARTS_V2: 2.76 +-
    0.09 % test error over 10 runs, 1.5 days on a GTX 1080 Ti (Liu et al. 2019, table 1, appendix A.2.1)."""
    return RetrainConfig(
        data=with_cutout(CIFAR10),
        space=SpaceConfig(channels=36, layers=20),
        weights=WeightsConfig(lr_min=0.0),
    )


@recipe
def darts_cifar100() -> RetrainConfig:
    """The DARTS evaluation protocol on CIFAR-100. Quoted for DARTS's second-order cell: 20.58 +- 0.44 % test error
    (Shu et al. 2022, NASI)."""
    return for_data(darts_cifar10, with_cutout(CIFAR100))


@recipe
def darts_svhn() -> RetrainConfig:
    """The DARTS evaluation protocol on SVHN, without mirroring. No number is published for DARTS's own protocol."""
    return for_data(darts_cifar10, with_cutout(SVHN))


@recipe
def darts_mnist() -> RetrainConfig:
    """Searched cells on MNIST: 8 cells, 16 channels, 20 epochs. No number is published for DARTS's own protocol."""
    return RetrainConfig(
        data=MNIST,
        space=SpaceConfig(channels=16, layers=8),
        weights=WeightsConfig(lr_min=0.0),
        epochs=20,
    )


@recipe
def darts_fashion_mnist() -> RetrainConfig:
    """Searched cells on Fashion-MNIST: 8 cells, 36 channels, 100 epochs. No number is published for DARTS's own
    protocol."""
    return RetrainConfig(
        data=with_cutout(FASHION_MNIST, 8),
        space=SpaceConfig(channels=36, layers=8),
        weights=WeightsConfig(lr_min=0.0),
        epochs=100,
    )


@recipe
def darts_imagenet() -> RetrainConfig:
    """The DARTS evaluation protocol on ImageNet's mobile setting: 14 cells, 48 channels, 250 epochs at 224 pixels.
    Published for DARTS_V2: 26.7 % top-1, 8.7 % top-5 error, 12 days on one GPU (Liu et al. 2019, table 3, A.2.3)."""
    return RetrainConfig(
        data=IMAGENET,
        space=SpaceConfig(channels=48, layers=14, stem="imagenet"),
        weights=WeightsConfig(lr=0.1, schedule="exponential", gamma=0.97, weight_decay=3e-5),
        epochs=250,
        batch_size=128,
        drop_path=0.0,
        label_smoothing=0.1,
    )


@recipe
def darts_folder() -> RetrainConfig:
    """Searched cells on your own images: a folder in torchvision's ImageFolder layout."""
    return for_data(darts_cifar10, with_cutout(FOLDER))


@recipe
def darts_npz() -> RetrainConfig:
    """Searched cells on your own arrays: an .npz file of images and labels."""
    return for_data(darts_cifar10, with_cutout(NPZ))
