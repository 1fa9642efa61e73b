"""Named runs in spaces other than DARTS's cells: NAS-Bench-201, models with choices, and recurrent cells, which have a
file of their own.

As in ``darts.recipes.registry``, a docstring says what runs and which number to expect.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

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
from darts.recipes.recurrent import LANGUAGE_FINALS, LANGUAGE_SEARCHES

UNCLIPPED = 1e9
"""A norm that no gradient reaches."""

CIFAR = dict(crop_padding=4, flip=True)
BENCHMARK_SIZE = dict(channels=16, layers=5)


def _nasbench201_search(
    recipe: str, data: str = "cifar10", method: MethodConfig | None = None, **options: Any
) -> SearchConfig:
    """As the benchmark's authors search."""
    return SearchConfig(
        recipe=recipe,
        data=DataConfig(data, **CIFAR),
        space=SearchSpaceConfig(name="nasbench201", **BENCHMARK_SIZE),
        method=method or MethodConfig(),
        weights=WeightsConfig(weight_decay=5e-4, nesterov=True),
        order="weights_first",
        **options,
    )


def _nasbench201_own_search(recipe: str, method: MethodConfig, epochs: int) -> SearchConfig:
    """As authors of other methods search: DARTS's protocol, with all five candidates."""
    return SearchConfig(
        recipe=recipe,
        data=DataConfig("cifar10", **CIFAR),
        space=SearchSpaceConfig(name="nasbench201", **BENCHMARK_SIZE),
        method=method,
        epochs=epochs,
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


def darts_v2_nasbench201_cifar10() -> SearchConfig:
    """Second-order DARTS on NAS-Bench-201, CIFAR-10, by the benchmark's protocol. Published: 54.30 % test accuracy, the
    cell of nothing but skips, 29,902 s (Dong and Yang 2020, as quoted in Chen et al. 2021, TE-NAS, table 1)."""
    return _nasbench201_search("darts_v2_nasbench201_cifar10", method=MethodConfig(step="unrolled"))


def gdas_nasbench201_cifar10() -> SearchConfig:
    """GDAS on NAS-Bench-201, CIFAR-10, by the benchmark's protocol: 250 epochs. Published: 93.61 +- 0.09 % test
    accuracy, 28,926 s (Dong and Yang 2020, as quoted in Chen et al. 2021, TE-NAS, table 1)."""
    return _nasbench201_search("gdas_nasbench201_cifar10", method=MethodConfig("gdas"), epochs=250)


def drnas_nasbench201_cifar10() -> SearchConfig:
    """DrNAS on NAS-Bench-201, CIFAR-10: 100 epochs with all channels. Quoted for it: 94.36 +- 0.00 % test accuracy."""
    return _nasbench201_own_search("drnas_nasbench201_cifar10", MethodConfig("drnas", without=()), 100)


def drnas_progressive_nasbench201_cifar10() -> SearchConfig:
    """DrNAS with progressive learning on NAS-Bench-201, CIFAR-10: 50 epochs with a quarter of the channels, 50 with a
    half and three of five candidates. Quoted for DrNAS: 94.36 +- 0.00 % test accuracy."""
    stages = "stage:share=0.5,partial=4", "stage:share=0.5,partial=2,keep=3"
    method = MethodConfig("drnas_progressive", stages=stages, without=())
    return _nasbench201_own_search("drnas_progressive_nasbench201_cifar10", method, 100)


def beta_darts_nasbench201_cifar10() -> SearchConfig:
    """beta-DARTS on NAS-Bench-201, CIFAR-10: 100 epochs. Quoted for it: 94.36 +- 0.00 % test accuracy."""
    return _nasbench201_own_search("beta_darts_nasbench201_cifar10", MethodConfig("beta_darts"), 100)


def darts_pt_nasbench201_cifar10() -> SearchConfig:
    """DARTS-PT on NAS-Bench-201, CIFAR-10: 100 epochs of DARTS, then 26 of decisions. Published: 88.11 % test accuracy
    (Wang et al. 2021, table 4)."""
    return _perturbed("darts_pt_nasbench201_cifar10", "darts_pt")


def darts_pt_fixed_nasbench201_cifar10() -> SearchConfig:
    """DARTS-PT with logits that do not learn on NAS-Bench-201, CIFAR-10: 100 epochs, then 26 of decisions. Published:
    93.80 % test accuracy (Wang et al. 2021, table 4)."""
    return _perturbed("darts_pt_fixed_nasbench201_cifar10", "darts_pt_fixed", ",warmup=1")


def _perturbed(recipe: str, name: str, frozen: str = "") -> SearchConfig:
    stages = f"stage:share=100{frozen}", f"stage:share=26,lr=0.1,restart=true{frozen}"
    discretize = f"perturbation:first={100 / 126},last={125 / 126}"
    method = MethodConfig(name, discretize=discretize, stages=stages, without=())
    return _nasbench201_own_search(recipe, method, 126)


def gaea_nasbench201_cifar10() -> SearchConfig:
    """GAEA on NAS-Bench-201, CIFAR-10, of one level on the whole training set: 24 channels, 25 epochs of a schedule
    made for 50. No number that we could verify is published."""
    config = _nasbench201_own_search("gaea_nasbench201_cifar10", MethodConfig("gaea", step="single_level"), 25)
    size = replace(config.space, channels=24)
    return replace(config, space=size, weights=WeightsConfig(horizon=50), train_share=1.0)


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
        batch_size=16,
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
    space = SpaceConfig(name="textnet", channels=16, layers=1)
    return replace(_model_final("textnet_csv", DataConfig("csv"), space, 30), batch_size=16)


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
    "darts_v2_nasbench201_cifar10": darts_v2_nasbench201_cifar10,
    "gdas_nasbench201_cifar10": gdas_nasbench201_cifar10,
    "drnas_nasbench201_cifar10": drnas_nasbench201_cifar10,
    "drnas_progressive_nasbench201_cifar10": drnas_progressive_nasbench201_cifar10,
    "beta_darts_nasbench201_cifar10": beta_darts_nasbench201_cifar10,
    "darts_pt_nasbench201_cifar10": darts_pt_nasbench201_cifar10,
    "darts_pt_fixed_nasbench201_cifar10": darts_pt_fixed_nasbench201_cifar10,
    "gaea_nasbench201_cifar10": gaea_nasbench201_cifar10,
    "darts_nasbench201_digits": darts_nasbench201_digits,
    "darts_convnet_digits": darts_convnet_digits,
    "darts_convnet_mnist": darts_convnet_mnist,
    "darts_textnet_csv": darts_textnet_csv,
    **LANGUAGE_SEARCHES,
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
    **LANGUAGE_FINALS,
}
