"""Named runs: functions that return a configuration with a paper's protocol.

A recipe's docstring says what it runs and which number to expect; ``--help`` prints it. Published figures are those
that the paper or its code's README states; a figure without a source is one of this project, measured.
"""

from collections.abc import Callable

from darts.config.schema import (
    DataConfig,
    LogitsConfig,
    MethodConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    SpaceConfig,
    WeightsConfig,
)
from darts.recipes.darts_family import FAMILY
from darts.recipes.other_spaces import SPACE_FINALS, SPACE_SEARCHES

CIFAR_SEARCH = dict(crop_padding=4, flip=True)
CIFAR_FINAL = dict(crop_padding=4, flip=True, cutout=16)


def search_digits() -> SearchConfig:
    """First-order DARTS on scikit-learn's 8x8 digits, which come with the package: a whole search in a minute on 2
    CPU cores. The logits learn faster than in the paper, since there are few steps."""
    return SearchConfig(
        recipe="digits",
        data=DataConfig("digits", crop_padding=1),
        space=SearchSpaceConfig(channels=8, layers=3),
        logits=LogitsConfig(lr=0.02),
        epochs=15,
    )


def darts_v1_cifar10() -> SearchConfig:
    """First-order DARTS on CIFAR-10. Published: 3.00 +- 0.14 % test error after retraining, the best of 4 searches,
    1.5 GPU-days for the 4 on a GTX 1080 Ti (Liu et al. 2019, table 1)."""
    return SearchConfig(recipe="darts_v1_cifar10", data=DataConfig("cifar10", **CIFAR_SEARCH))


def darts_v2_cifar10() -> SearchConfig:
    """Second-order DARTS on CIFAR-10. Published: 2.76 +- 0.09 % test error after retraining, the best of 4 searches,
    4 GPU-days for the 4 on a GTX 1080 Ti (Liu et al. 2019, table 1)."""
    return SearchConfig(
        recipe="darts_v2_cifar10",
        data=DataConfig("cifar10", **CIFAR_SEARCH),
        method=MethodConfig(step="unrolled"),
    )


def darts_cifar100() -> SearchConfig:
    """First-order DARTS on CIFAR-100, by the CIFAR-10 protocol. Quoted for DARTS's second-order cell: 20.58 +- 0.44 %
    test error (Shu et al. 2022, NASI)."""
    return SearchConfig(recipe="darts_cifar100", data=DataConfig("cifar100", **CIFAR_SEARCH))


def darts_svhn() -> SearchConfig:
    """First-order DARTS on SVHN, by the CIFAR-10 protocol without mirroring. No number is published for DARTS's own
    protocol."""
    return SearchConfig(recipe="darts_svhn", data=DataConfig("svhn", crop_padding=4))


def darts_mnist() -> SearchConfig:
    """First-order DARTS on MNIST, by the CIFAR-10 protocol with smaller crops, no mirroring and 20 epochs. No number is
    published for DARTS's own protocol."""
    return SearchConfig(recipe="darts_mnist", data=DataConfig("mnist", crop_padding=2), epochs=20)


def darts_fashion_mnist() -> SearchConfig:
    """First-order DARTS on Fashion-MNIST, by the CIFAR-10 protocol with smaller crops. No number is published for
    DARTS's own protocol."""
    return SearchConfig(recipe="darts_fashion_mnist", data=DataConfig("fashion_mnist", crop_padding=2, flip=True))


def darts_folder() -> SearchConfig:
    """First-order DARTS on your own images: a folder in torchvision's ImageFolder layout, by the CIFAR-10 protocol."""
    return SearchConfig(recipe="darts_folder", data=DataConfig("folder", **CIFAR_SEARCH))


def darts_npz() -> SearchConfig:
    """First-order DARTS on your own arrays: an .npz file of images and labels, by the CIFAR-10 protocol."""
    return SearchConfig(recipe="darts_npz", data=DataConfig("npz", **CIFAR_SEARCH))


SEARCH_RECIPES: dict[str, Callable[[], SearchConfig]] = {
    "digits": search_digits,
    "darts_v1_cifar10": darts_v1_cifar10,
    "darts_v2_cifar10": darts_v2_cifar10,
    "darts_cifar100": darts_cifar100,
    "darts_svhn": darts_svhn,
    "darts_mnist": darts_mnist,
    "darts_fashion_mnist": darts_fashion_mnist,
    "darts_folder": darts_folder,
    "darts_npz": darts_npz,
    **FAMILY,
    **SPACE_SEARCHES,
}


def final_digits() -> RetrainConfig:
    """A small network of the searched cells on scikit-learn's digits, in half a minute on 2 CPU cores."""
    return RetrainConfig(
        recipe="digits",
        data=DataConfig("digits", crop_padding=1),
        space=SpaceConfig(channels=16, layers=5),
        weights=WeightsConfig(lr_min=0.0),
        epochs=20,
        drop_path=0.1,
    )


def final_darts_cifar10() -> RetrainConfig:
    """The DARTS evaluation protocol on CIFAR-10: 20 cells, 36 channels, 600 epochs. Published for DARTS_V2: 2.76 +-
    0.09 % test error over 10 runs, 1.5 days on a GTX 1080 Ti (Liu et al. 2019, table 1, appendix A.2.1)."""
    return RetrainConfig(
        recipe="darts_cifar10",
        data=DataConfig("cifar10", **CIFAR_FINAL),
        space=SpaceConfig(channels=36, layers=20),
        weights=WeightsConfig(lr_min=0.0),
    )


def final_darts_cifar100() -> RetrainConfig:
    """The DARTS evaluation protocol on CIFAR-100. Quoted for DARTS's second-order cell: 20.58 +- 0.44 % test error
    (Shu et al. 2022, NASI)."""
    return RetrainConfig(
        recipe="darts_cifar100",
        data=DataConfig("cifar100", **CIFAR_FINAL),
        space=SpaceConfig(channels=36, layers=20),
        weights=WeightsConfig(lr_min=0.0),
    )


def final_darts_svhn() -> RetrainConfig:
    """The DARTS evaluation protocol on SVHN, without mirroring. No number is published for DARTS's own protocol."""
    return RetrainConfig(
        recipe="darts_svhn",
        data=DataConfig("svhn", crop_padding=4, cutout=16),
        space=SpaceConfig(channels=36, layers=20),
        weights=WeightsConfig(lr_min=0.0),
    )


def final_darts_mnist() -> RetrainConfig:
    """Searched cells on MNIST: 8 cells, 16 channels, 20 epochs. No number is published for DARTS's own protocol."""
    return RetrainConfig(
        recipe="darts_mnist",
        data=DataConfig("mnist", crop_padding=2),
        space=SpaceConfig(channels=16, layers=8),
        weights=WeightsConfig(lr_min=0.0),
        epochs=20,
    )


def final_darts_fashion_mnist() -> RetrainConfig:
    """Searched cells on Fashion-MNIST: 8 cells, 36 channels, 100 epochs. No number is published for DARTS's own
    protocol."""
    return RetrainConfig(
        recipe="darts_fashion_mnist",
        data=DataConfig("fashion_mnist", crop_padding=2, flip=True, cutout=8),
        space=SpaceConfig(channels=36, layers=8),
        weights=WeightsConfig(lr_min=0.0),
        epochs=100,
    )


def final_darts_imagenet() -> RetrainConfig:
    """The DARTS evaluation protocol on ImageNet's mobile setting: 14 cells, 48 channels, 250 epochs at 224 pixels.
    Published for DARTS_V2: 26.7 % top-1, 8.7 % top-5 error, 12 days on one GPU (Liu et al. 2019, table 3, A.2.3)."""
    return RetrainConfig(
        recipe="darts_imagenet",
        data=DataConfig("imagenet", size=224),
        space=SpaceConfig(channels=48, layers=14, stem="imagenet"),
        weights=WeightsConfig(lr=0.1, schedule="exponential", gamma=0.97, weight_decay=3e-5),
        epochs=250,
        batch_size=128,
        drop_path=0.0,
        label_smoothing=0.1,
    )


def final_darts_folder() -> RetrainConfig:
    """Searched cells on your own images: a folder in torchvision's ImageFolder layout."""
    return RetrainConfig(
        recipe="darts_folder",
        data=DataConfig("folder", **CIFAR_FINAL),
        space=SpaceConfig(channels=36, layers=20),
        weights=WeightsConfig(lr_min=0.0),
    )


def final_darts_npz() -> RetrainConfig:
    """Searched cells on your own arrays: an .npz file of images and labels."""
    return RetrainConfig(
        recipe="darts_npz",
        data=DataConfig("npz", **CIFAR_FINAL),
        space=SpaceConfig(channels=36, layers=20),
        weights=WeightsConfig(lr_min=0.0),
    )


FINAL_RECIPES: dict[str, Callable[[], RetrainConfig]] = {
    "digits": final_digits,
    "darts_cifar10": final_darts_cifar10,
    "darts_cifar100": final_darts_cifar100,
    "darts_svhn": final_darts_svhn,
    "darts_mnist": final_darts_mnist,
    "darts_fashion_mnist": final_darts_fashion_mnist,
    "darts_imagenet": final_darts_imagenet,
    "darts_folder": final_darts_folder,
    "darts_npz": final_darts_npz,
    **SPACE_FINALS,
}


def final_for(space: str | None, data: str) -> str:
    """The first recipe that retrains results of a space on a data set; at least on that data set."""
    known = {name: (c.space.name, c.data.name) for name, c in ((name, make()) for name, make in FINAL_RECIPES.items())}
    fitting = [name for name, of in known.items() if of == (space, data)]
    return next(iter(fitting), next(name for name, of in known.items() if of[1] == data))
