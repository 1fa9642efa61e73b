"""Named runs in spaces other than DARTS's cells: NAS-Bench-201, models with choices, recurrent cells.

As in ``darts.recipes``, a docstring says what runs and which number to expect.
"""

from collections.abc import Callable

from darts.config import (
    DataConfig,
    LogitsConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    SpaceConfig,
    WeightsConfig,
)

UNCLIPPED = 1e9
"""A norm that no gradient reaches."""

CIFAR = dict(crop_padding=4, flip=True)
BENCHMARK_SIZE = dict(channels=16, layers=5)


def _nasbench201_search(recipe: str, data: str) -> SearchConfig:
    return SearchConfig(
        recipe=recipe,
        data=DataConfig(data, **CIFAR),
        space=SearchSpaceConfig(name="nasbench201", **BENCHMARK_SIZE),
        weights=WeightsConfig(weight_decay=5e-4, nesterov=True),
        order="weights_first",
    )


def _nasbench201_final(recipe: str, data: str, epochs: int) -> RetrainConfig:
    return RetrainConfig(
        recipe=recipe,
        data=DataConfig(data, **CIFAR),
        space=SpaceConfig(name="nasbench201", **BENCHMARK_SIZE),
        weights=WeightsConfig(lr=0.1, lr_min=0.0, weight_decay=5e-4, nesterov=True, clip=UNCLIPPED),
        epochs=epochs,
        batch_size=256,
        auxiliary=0.0,
        drop_path=0.0,
    )


def darts_nasbench201_cifar10() -> SearchConfig:
    """First-order DARTS on NAS-Bench-201, CIFAR-10: 16 channels, 5 cells a stage, weights before logits, as its
    authors' code does; --table FILE tells the true accuracy of every epoch's cell. Published: 54.30 % test accuracy,
    the cell of nothing but skips, 10,890 s (Dong and Yang 2020, as quoted in Chen et al. 2021, TE-NAS, table 1)."""
    return _nasbench201_search("darts_nasbench201_cifar10", "cifar10")


def darts_nasbench201_cifar100() -> SearchConfig:
    """First-order DARTS on NAS-Bench-201, CIFAR-100, by the CIFAR-10 protocol. Published for a search on CIFAR-100:
    38.97 % test accuracy (quoted in Chen et al. 2021, DrNAS)."""
    return _nasbench201_search("darts_nasbench201_cifar100", "cifar100")


def darts_nasbench201_digits() -> SearchConfig:
    """First-order DARTS on NAS-Bench-201's cell and scikit-learn's digits, in a narrow network: a minute or two on 2
    CPU cores."""
    return SearchConfig(
        recipe="darts_nasbench201_digits",
        data=DataConfig("digits", crop_padding=1),
        space=SearchSpaceConfig(name="nasbench201", channels=4, layers=1),
        weights=WeightsConfig(nesterov=True),
        logits=LogitsConfig(lr=0.02),
        epochs=15,
        order="weights_first",
    )


def darts_convnet_digits() -> SearchConfig:
    """First-order DARTS in a model with choices, scikit-learn's digits: block, kernel, width, connections, activation
    and normalization of a small convolutional network."""
    return SearchConfig(
        recipe="darts_convnet_digits",
        data=DataConfig("digits", crop_padding=1),
        space=SearchSpaceConfig(name="convnet", channels=8, layers=1),
        logits=LogitsConfig(lr=0.02),
        epochs=15,
    )


def darts_convnet_mnist() -> SearchConfig:
    """First-order DARTS in a model with choices, MNIST: block, kernel, width, connections, activation and normalization
    of a small convolutional network. No number is published."""
    return SearchConfig(
        recipe="darts_convnet_mnist",
        data=DataConfig("mnist", crop_padding=2),
        space=SearchSpaceConfig(name="convnet", channels=8, layers=2),
        logits=LogitsConfig(lr=3e-3),
        epochs=3,
        batch_size=128,
    )


def darts_textnet_csv() -> SearchConfig:
    """First-order DARTS in a classifier of sentences after the Evolved Transformer, on a CSV file of two columns.
    No number is published."""
    return SearchConfig(
        recipe="darts_textnet_csv",
        data=DataConfig("csv"),
        space=SearchSpaceConfig(name="textnet", channels=16, layers=1),
        weights=WeightsConfig(lr=0.1, lr_min=0.01),
        logits=LogitsConfig(lr=0.02),
        epochs=20,
    )


def final_nasbench201_cifar10() -> RetrainConfig:
    """NAS-Bench-201's own training on CIFAR-10: 200 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final("nasbench201_cifar10", "cifar10", 200)


def final_nasbench201_cifar10_12epochs() -> RetrainConfig:
    """NAS-Bench-201's short training on CIFAR-10: 12 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final("nasbench201_cifar10_12epochs", "cifar10", 12)


def final_nasbench201_cifar100() -> RetrainConfig:
    """NAS-Bench-201's own training on CIFAR-100: 200 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final("nasbench201_cifar100", "cifar100", 200)


def final_nasbench201_cifar100_12epochs() -> RetrainConfig:
    """NAS-Bench-201's short training on CIFAR-100: 12 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final("nasbench201_cifar100_12epochs", "cifar100", 12)


def final_nasbench201_digits() -> RetrainConfig:
    """A narrow network of NAS-Bench-201's kind on scikit-learn's digits."""
    return RetrainConfig(
        recipe="nasbench201_digits",
        data=DataConfig("digits", crop_padding=1),
        space=SpaceConfig(name="nasbench201", channels=8, layers=1),
        weights=WeightsConfig(lr=0.1, lr_min=0.0, weight_decay=5e-4, nesterov=True),
        epochs=20,
        auxiliary=0.0,
        drop_path=0.0,
    )


def final_convnet_digits() -> RetrainConfig:
    """The searched convolutional network on scikit-learn's digits, from scratch."""
    return _model_final(
        "convnet_digits", DataConfig("digits", crop_padding=1), SpaceConfig(name="convnet", channels=16, layers=1), 30
    )


def final_convnet_mnist() -> RetrainConfig:
    """The searched convolutional network on MNIST, from scratch."""
    space = SpaceConfig(name="convnet", channels=16, layers=2)
    return _model_final("convnet_mnist", DataConfig("mnist", crop_padding=2), space, 5)


def final_textnet_csv() -> RetrainConfig:
    """The searched classifier of sentences on a CSV file of two columns, from scratch."""
    return _model_final("textnet_csv", DataConfig("csv"), SpaceConfig(name="textnet", channels=16, layers=1), 30)


def _model_final(recipe: str, data: DataConfig, space: SpaceConfig, epochs: int) -> RetrainConfig:
    return RetrainConfig(
        recipe=recipe,
        data=data,
        space=space,
        weights=WeightsConfig(lr=0.05, lr_min=0.0),
        epochs=epochs,
        auxiliary=0.0,
        drop_path=0.0,
    )


SPACE_SEARCHES: dict[str, Callable[[], SearchConfig]] = {
    "darts_nasbench201_cifar10": darts_nasbench201_cifar10,
    "darts_nasbench201_cifar100": darts_nasbench201_cifar100,
    "darts_nasbench201_digits": darts_nasbench201_digits,
    "darts_convnet_digits": darts_convnet_digits,
    "darts_convnet_mnist": darts_convnet_mnist,
    "darts_textnet_csv": darts_textnet_csv,
}

SPACE_FINALS: dict[str, Callable[[], RetrainConfig]] = {
    "nasbench201_cifar10": final_nasbench201_cifar10,
    "nasbench201_cifar10_12epochs": final_nasbench201_cifar10_12epochs,
    "nasbench201_cifar100": final_nasbench201_cifar100,
    "nasbench201_cifar100_12epochs": final_nasbench201_cifar100_12epochs,
    "nasbench201_digits": final_nasbench201_digits,
    "convnet_digits": final_convnet_digits,
    "convnet_mnist": final_convnet_mnist,
    "textnet_csv": final_textnet_csv,
}
