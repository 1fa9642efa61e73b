"""Searches by DARTS itself, in its own cells: the digits, the usual data sets, and images of your own.

A number is *published* where the paper or its code's README states it, and *quoted* where another paper's table does;
a number that could be verified in neither is not given.
"""

from darts.config import LogitsConfig, MethodConfig, SearchConfig, SearchSpaceConfig
from darts.recipes.data_sets import CIFAR10, CIFAR100, DIGITS, FASHION_MNIST, FOLDER, MNIST, NPZ, SVHN
from darts.recipes.recipe import recipe, search


@recipe
def digits() -> SearchConfig:
    """First-order DARTS on scikit-learn's 8x8 digits, which are included: a whole search in a minute on 2 CPU cores.
    The logits learn faster than in the paper, since there are few steps."""
    return search(DIGITS, space=SearchSpaceConfig(channels=8, layers=3), logits=LogitsConfig(lr=0.02), epochs=15)


@recipe
def darts_v1_cifar10() -> SearchConfig:
    """First-order DARTS on CIFAR-10. Published: 3.00 +- 0.14 % test error after retraining, the best of 4 searches,
    1.5 GPU-days for the 4 on a GTX 1080 Ti (Liu et al. 2019, table 1)."""
    return search(CIFAR10)


@recipe
def darts_v2_cifar10() -> SearchConfig:
    """Second-order DARTS on CIFAR-10. Published: 2.76 +- 0.09 % test error after retraining, the best of 4 searches,
    4 GPU-days for the 4 on a GTX 1080 Ti (Liu et al. 2019, table 1)."""
    return search(CIFAR10, MethodConfig(step="unrolled"))


@recipe
def darts_cifar100() -> SearchConfig:
    """First-order DARTS on CIFAR-100, by the CIFAR-10 protocol. Quoted for DARTS's second-order cell: 20.58 +- 0.44 %
    test error (Shu et al. 2022, NASI)."""
    return search(CIFAR100)


@recipe
def darts_svhn() -> SearchConfig:
    """First-order DARTS on SVHN, by the CIFAR-10 protocol without mirroring. No number is published for DARTS's own
    protocol."""
    return search(SVHN)


@recipe
def darts_mnist() -> SearchConfig:
    """First-order DARTS on MNIST, by the CIFAR-10 protocol with smaller crops, no mirroring and 20 epochs. No number is
    published for DARTS's own protocol."""
    return search(MNIST, epochs=20)


@recipe
def darts_fashion_mnist() -> SearchConfig:
    """First-order DARTS on Fashion-MNIST, by the CIFAR-10 protocol with smaller crops. No number is published for
    DARTS's own protocol."""
    return search(FASHION_MNIST)


@recipe
def darts_folder() -> SearchConfig:
    """First-order DARTS on your own images: a folder in torchvision's ImageFolder layout, by the CIFAR-10 protocol."""
    return search(FOLDER)


@recipe
def darts_npz() -> SearchConfig:
    """First-order DARTS on your own arrays: an .npz file of images and labels, by the CIFAR-10 protocol."""
    return search(NPZ)
