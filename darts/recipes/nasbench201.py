"""Searches and retrainings in the space of NAS-Bench-201 (Dong and Yang 2020).

A number is *published* where the paper or its code's README states it, and *quoted* where another paper's table does;
a number that could be verified in neither is not given.
"""

from dataclasses import replace
from typing import Any

from darts.config import (
    DataConfig,
    LogitsConfig,
    MethodConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    SpaceConfig,
    WeightsConfig,
)
from darts.recipes.data_sets import CIFAR10, CIFAR100, DIGITS
from darts.recipes.recipe import recipe

UNCLIPPED = 1e9
"""A norm that no gradient reaches."""

SUPERNET = SearchSpaceConfig(name="nasbench201", channels=16, layers=5)
NETWORK = SpaceConfig(name="nasbench201", channels=16, layers=5)
"""At the benchmark's own size."""


def _nasbench201_search(data: DataConfig = CIFAR10, method: MethodConfig | None = None, **options: Any) -> SearchConfig:
    """As the benchmark's authors search."""
    return SearchConfig(
        data=data,
        space=SUPERNET,
        method=method or MethodConfig(),
        weights=WeightsConfig(weight_decay=5e-4, nesterov=True),
        order="weights_first",
        **options,
    )


def _nasbench201_own_search(method: MethodConfig, epochs: int) -> SearchConfig:
    """As authors of other methods search: DARTS's protocol, with all five candidates."""
    return SearchConfig(
        data=CIFAR10,
        space=SUPERNET,
        method=method,
        epochs=epochs,
    )


def _nasbench201_final(data: DataConfig, epochs: int) -> RetrainConfig:
    return RetrainConfig(
        data=data,
        space=NETWORK,
        weights=WeightsConfig(lr=0.1, lr_min=0.0, weight_decay=5e-4, nesterov=True, clip=UNCLIPPED),
        epochs=epochs,
        batch_size=256,
        auxiliary=0.0,
        drop_path=0.0,
    )


@recipe
def darts_nasbench201_cifar10() -> SearchConfig:
    """First-order DARTS on NAS-Bench-201, CIFAR-10: 16 channels, 5 cells a stage, weights before logits, as its
    authors' code does; --table FILE tells the true accuracy of every epoch's cell. Published: 54.30 % test accuracy,
    the cell of nothing but skips, 10,890 s (Dong and Yang 2020, as quoted in Chen et al. 2021, TE-NAS, table 1)."""
    return _nasbench201_search()


@recipe
def darts_nasbench201_cifar100() -> SearchConfig:
    """First-order DARTS on NAS-Bench-201, CIFAR-100, by the CIFAR-10 protocol. Published for a search on CIFAR-100:
    38.97 % test accuracy (quoted in Chen et al. 2021, DrNAS)."""
    return _nasbench201_search(CIFAR100)


@recipe
def darts_v2_nasbench201_cifar10() -> SearchConfig:
    """Second-order DARTS on NAS-Bench-201, CIFAR-10, by the benchmark's protocol. Published: 54.30 % test accuracy, the
    cell of nothing but skips, 29,902 s (Dong and Yang 2020, as quoted in Chen et al. 2021, TE-NAS, table 1)."""
    return _nasbench201_search(method=MethodConfig(step="unrolled"))


@recipe
def gdas_nasbench201_cifar10() -> SearchConfig:
    """GDAS on NAS-Bench-201, CIFAR-10, by the benchmark's protocol: 250 epochs. Published: 93.61 +- 0.09 % test
    accuracy, 28,926 s (Dong and Yang 2020, as quoted in Chen et al. 2021, TE-NAS, table 1)."""
    method = MethodConfig("gdas", relax="gumbel:bare=true", reach_end=True)
    return _nasbench201_search(method=method, epochs=250)


@recipe
def drnas_nasbench201_cifar10() -> SearchConfig:
    """DrNAS on NAS-Bench-201, CIFAR-10: 100 epochs with all channels. Quoted for it: 94.36 +- 0.00 % test accuracy."""
    return _nasbench201_own_search(MethodConfig("drnas", without=()), 100)


@recipe
def drnas_progressive_nasbench201_cifar10() -> SearchConfig:
    """DrNAS with progressive learning on NAS-Bench-201, CIFAR-10: 50 epochs with a quarter of the channels, 50 with a
    half and three of five candidates. Quoted for DrNAS: 94.36 +- 0.00 % test accuracy."""
    stages = "stage:share=0.5,partial=4", "stage:share=0.5,partial=2,keep=3"
    method = MethodConfig("drnas_progressive", stages=stages, without=())
    return _nasbench201_own_search(method, 100)


@recipe
def beta_darts_nasbench201_cifar10() -> SearchConfig:
    """beta-DARTS on NAS-Bench-201, CIFAR-10: 100 epochs. Quoted for it: 94.36 +- 0.00 % test accuracy."""
    return _nasbench201_own_search(MethodConfig("beta_darts"), 100)


@recipe
def darts_pt_nasbench201_cifar10() -> SearchConfig:
    """DARTS-PT on NAS-Bench-201, CIFAR-10: 100 epochs of DARTS, then 26 of decisions. Published: 88.11 % test accuracy
    (Wang et al. 2021, table 4)."""
    return _perturbed("darts_pt")


@recipe
def darts_pt_fixed_nasbench201_cifar10() -> SearchConfig:
    """DARTS-PT with logits that do not learn on NAS-Bench-201, CIFAR-10: 100 epochs, then 26 of decisions. Published:
    93.80 % test accuracy (Wang et al. 2021, table 4)."""
    return _perturbed("darts_pt_fixed")


def _perturbed(name: str) -> SearchConfig:
    return _nasbench201_own_search(perturbed(name, before=100, deciding=26), 126)


def perturbed(name: str, *, before: int, deciding: int) -> MethodConfig:
    """Return DARTS-PT, or its form whose logits do not learn: epochs of search, then of decisions."""
    frozen, epochs = ",warmup=1" if name == "darts_pt_fixed" else "", before + deciding
    return MethodConfig(
        name,
        discretize=f"perturbation:first={before / epochs},last={(epochs - 1) / epochs}",
        stages=(f"stage:share={before}{frozen}", f"stage:share={deciding},lr=0.1,restart=true{frozen}"),
        without=(),
    )


@recipe
def gaea_nasbench201_cifar10() -> SearchConfig:
    """GAEA on NAS-Bench-201, CIFAR-10, of one level on the whole training set: 24 channels, 25 epochs of a schedule
    made for 50. No number that we could verify is published."""
    config = _nasbench201_own_search(MethodConfig("gaea", step="single_level"), 25)
    size = replace(config.space, channels=24)
    return replace(config, space=size, weights=WeightsConfig(horizon=50), train_share=1.0)


@recipe
def darts_nasbench201_digits() -> SearchConfig:
    """First-order DARTS on NAS-Bench-201's cell and scikit-learn's digits, in a narrow network: a minute or two on 2
    CPU cores."""
    return SearchConfig(
        data=DIGITS,
        space=SearchSpaceConfig(name="nasbench201", channels=4, layers=1),
        weights=WeightsConfig(nesterov=True),
        logits=LogitsConfig(lr=0.02),
        epochs=15,
        order="weights_first",
    )


@recipe
def nasbench201_cifar10() -> RetrainConfig:
    """NAS-Bench-201's own training on CIFAR-10: 200 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final(CIFAR10, 200)


@recipe
def nasbench201_cifar10_12epochs() -> RetrainConfig:
    """NAS-Bench-201's short training on CIFAR-10: 12 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final(CIFAR10, 12)


@recipe
def nasbench201_cifar100() -> RetrainConfig:
    """NAS-Bench-201's own training on CIFAR-100: 200 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final(CIFAR100, 200)


@recipe
def nasbench201_cifar100_12epochs() -> RetrainConfig:
    """NAS-Bench-201's short training on CIFAR-100: 12 epochs. The table tells what to expect of each architecture."""
    return _nasbench201_final(CIFAR100, 12)


@recipe
def nasbench201_digits() -> RetrainConfig:
    """A narrow network of NAS-Bench-201's kind on scikit-learn's digits."""
    return RetrainConfig(
        data=DIGITS,
        space=SpaceConfig(name="nasbench201", channels=8, layers=1),
        weights=WeightsConfig(lr=0.1, lr_min=0.0, weight_decay=5e-4, nesterov=True),
        epochs=20,
        auxiliary=0.0,
        drop_path=0.0,
    )
