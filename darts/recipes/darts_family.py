"""Named searches of the DARTS family: each method by the protocol that its authors published.

As in ``darts.recipes.registry``. A number is *published* where the paper or its code's README states it, and *quoted* where
another paper's table does; numbers that could not be verified in either are not given.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from darts.config.schema import DataConfig, LogitsConfig, MethodConfig, SearchConfig, SearchSpaceConfig, WeightsConfig

CIFAR10 = DataConfig("cifar10", crop_padding=4, flip=True)
CIFAR100 = DataConfig("cifar100", crop_padding=4, flip=True)
IMAGENET = DataConfig("imagenet", size=224, jitter=False)

IMAGENET_SHARES: dict[str, float] = dict(train_share=0.1, valid_share=0.025)
"""Of each class's images, as PC-DARTS and DrNAS search."""


def _search(recipe: str, data: DataConfig, method: str | MethodConfig, **options: Any) -> SearchConfig:
    method = MethodConfig(method) if isinstance(method, str) else method
    return SearchConfig(recipe=recipe, data=data, method=method, **options)


def pc_darts_cifar10() -> SearchConfig:
    """PC-DARTS on CIFAR-10. Published: 2.57 +- 0.07 % test error after retraining with ``--drop-path 0.3``, 3.6 M
    parameters, 0.1 GPU-days on a GTX 1080 Ti (Xu et al. 2020, the code's README)."""
    return _search(
        "pc_darts_cifar10",
        CIFAR10,
        "pc_darts",
        weights=WeightsConfig(lr=0.1, lr_min=0.0),
        logits=LogitsConfig(lr=6e-4),
        batch_size=256,
    )


def pc_darts_cifar100() -> SearchConfig:
    """PC-DARTS on CIFAR-100, by the CIFAR-10 protocol. No number that we could verify is published."""
    return _search(
        "pc_darts_cifar100",
        CIFAR100,
        "pc_darts",
        weights=WeightsConfig(lr=0.1, lr_min=0.0),
        logits=LogitsConfig(lr=6e-4),
        batch_size=256,
    )


def pc_darts_imagenet() -> SearchConfig:
    """PC-DARTS on ImageNet: a tenth of each class for the weights, a fortieth for the logits, which learn from epoch 35
    of 50; images of 224 pixels. Quoted for it: 24.2 % top-1, 7.3 % top-5 test error after retraining, 5.3 M parameters,
    3.8 GPU-days (Chen et al. 2021, TE-NAS); 11.5 hours on 8 V100 (the code's README)."""
    return _search(
        "pc_darts_imagenet",
        IMAGENET,
        MethodConfig("pc_darts", stages=("stage:warmup=0.7,partial=2",)),
        space=SearchSpaceConfig(stem="imagenet_wide"),
        weights=WeightsConfig(lr=0.5, lr_min=0.0, warmup=5),
        logits=LogitsConfig(lr=6e-3, clip=5.0),
        batch_size=1024,
        **IMAGENET_SHARES,
    )


def pdarts_cifar10() -> SearchConfig:
    """P-DARTS on CIFAR-10: 25 epochs each with 5, 11 and 17 cells. Published: 2.50 % test error after retraining with
    ``--drop-path 0.3``, 3.4 M parameters, 0.3 GPU-days, 7 hours on a P100 with 16 GB (Chen et al. 2019, the code's
    README)."""
    return _search(
        "pdarts_cifar10",
        CIFAR10,
        "pdarts",
        space=SearchSpaceConfig(layers=5),
        weights=WeightsConfig(lr_min=0.0),
        logits=LogitsConfig(lr=6e-4, clip=5.0),
        epochs=75,
        batch_size=96,
    )


def pdarts_cifar100() -> SearchConfig:
    """P-DARTS on CIFAR-100, with less dropout of skips: its rates, 0.1, 0.2 and 0.3, could not be verified. No number
    that we could verify is published."""
    return _search(
        "pdarts_cifar100",
        CIFAR100,
        "pdarts_cifar100",
        space=SearchSpaceConfig(layers=5),
        weights=WeightsConfig(lr_min=0.0),
        logits=LogitsConfig(lr=6e-4, clip=5.0),
        epochs=75,
        batch_size=96,
    )


def gdas_cifar10() -> SearchConfig:
    """GDAS on CIFAR-10. Quoted for it: 2.93 % test error after retraining, 3.4 M parameters, 0.21 GPU-days on a V100
    (Shu et al. 2022, NASI)."""
    weights = WeightsConfig(weight_decay=5e-4, nesterov=True)
    return _search("gdas_cifar10", CIFAR10, "gdas", weights=weights, epochs=250, batch_size=256)


def gdas_cifar100() -> SearchConfig:
    """GDAS on CIFAR-100, by the CIFAR-10 protocol. Quoted for it: 18.38 % test error after retraining (Shu et al.
    2022, NASI)."""
    weights = WeightsConfig(weight_decay=5e-4, nesterov=True)
    return _search("gdas_cifar100", CIFAR100, "gdas", weights=weights, epochs=250, batch_size=256)


def snas_cifar10() -> SearchConfig:
    """SNAS on CIFAR-10, weights and logits on the whole training set; ``--method.penalties resource:weight=...`` adds
    its cost. Quoted for its moderate cell: 2.85 +- 0.02 % test error after retraining, 2.8 M parameters, 1.5 GPU-days
    (Wang et al. 2021, DARTS-PT)."""
    return _search("snas_cifar10", CIFAR10, "snas", drop_path=0.3, epochs=150, train_share=1.0)


def fair_darts_cifar10() -> SearchConfig:
    """Fair DARTS on CIFAR-10. Published: 2.54 +- 0.05 % test error after retraining, the mean of 7 searches (Chu et
    al. 2020, the code's README); some of these were retrained for 1600 epochs. Quoted cost: 0.4 GPU-days."""
    return _search(
        "fair_darts_cifar10",
        CIFAR10,
        "fair_darts",
        weights=WeightsConfig(lr=0.005),
        logits=LogitsConfig(lr=3e-3, betas=(0.9, 0.999)),
        batch_size=128,
    )


def darts_minus_cifar10() -> SearchConfig:
    """DARTS- on CIFAR-10. Quoted for it: 2.59 +- 0.08 % test error after retraining, 3.5 M parameters, 0.4 GPU-days
    (Shu et al. 2022, NASI)."""
    return _search("darts_minus_cifar10", CIFAR10, "darts_minus")


def darts_minus_cifar100() -> SearchConfig:
    """DARTS- on CIFAR-100. Quoted for it: 17.51 +- 0.25 % test error after retraining (Shu et al. 2022, NASI)."""
    return _search("darts_minus_cifar100", CIFAR100, "darts_minus")


def sdarts_rs_cifar10() -> SearchConfig:
    """SDARTS with random smoothing on CIFAR-10. Quoted for it: 2.67 +- 0.03 % test error after retraining, 3.4 M
    parameters, 0.4 GPU-days on a GTX 1080 Ti (Wang et al. 2021, DARTS-PT)."""
    return _search("sdarts_rs_cifar10", CIFAR10, "sdarts_rs")


def sdarts_adv_cifar10() -> SearchConfig:
    """SDARTS with an adversary on CIFAR-10. Quoted for it: 2.61 +- 0.02 % test error after retraining, 3.3 M
    parameters, 1.3 GPU-days on a GTX 1080 Ti (Wang et al. 2021, DARTS-PT)."""
    return _search("sdarts_adv_cifar10", CIFAR10, "sdarts_adv")


def robust_darts_es_cifar10() -> SearchConfig:
    """DARTS-ES on CIFAR-10: second order, stopped where the largest Hessian eigenvalue grows. No number that we could
    verify is published for the full space; see the recipes of S1 to S4."""
    return _search("robust_darts_es_cifar10", CIFAR10, "robust_darts")


def robust_darts_ada_cifar10() -> SearchConfig:
    """DARTS-ADA on CIFAR-10: as DARTS-ES, but goes on with more weight decay. No number that we could verify is
    published for the full space."""
    return _search("robust_darts_ada_cifar10", CIFAR10, "robust_darts_ada")


def robust_darts_l2_cifar10() -> SearchConfig:
    """R-DARTS(L2) on CIFAR-10: one of four searches, with ``--weights.weight-decay`` 3e-4, 9e-4, 27e-4 and 81e-4; keep
    that of the highest valid_accuracy. Quoted for it: 2.95 +- 0.21 % test error after retraining, 1.6 GPU-days (Wang
    et al. 2021, DARTS-PT)."""
    return _search(
        "robust_darts_l2_cifar10", CIFAR10, MethodConfig(step="unrolled"), weights=WeightsConfig(weight_decay=9e-4)
    )


def robust_darts_dp_cifar10() -> SearchConfig:
    """R-DARTS(DP) on CIFAR-10: one of four searches, with ``--drop-path`` 0, 0.2, 0.4 and 0.6; keep that of the
    highest valid_accuracy. No number that we could verify is published for the full space."""
    data = replace(CIFAR10, cutout=16, cutout_rises=True)
    return _search("robust_darts_dp_cifar10", data, MethodConfig(step="unrolled"), drop_path=0.2)


def darts_s1_cifar10() -> SearchConfig:
    """DARTS of second order in the reduced space S1, where it collapses. Quoted for it: 3.84 % test error after
    retraining (Wang et al. 2021, DARTS-PT, table 3)."""
    return _search("darts_s1_cifar10", CIFAR10, MethodConfig(step="unrolled"), space=SearchSpaceConfig(candidates="s1"))


def darts_s2_cifar10() -> SearchConfig:
    """DARTS of second order in the reduced space S2, where it collapses. Quoted for it: 4.85 % test error after
    retraining (Wang et al. 2021, DARTS-PT, table 3)."""
    return _search("darts_s2_cifar10", CIFAR10, MethodConfig(step="unrolled"), space=SearchSpaceConfig(candidates="s2"))


def darts_s3_cifar10() -> SearchConfig:
    """DARTS of second order in the reduced space S3, where it collapses. Quoted for it: 3.34 % test error after
    retraining (Wang et al. 2021, DARTS-PT, table 3)."""
    return _search("darts_s3_cifar10", CIFAR10, MethodConfig(step="unrolled"), space=SearchSpaceConfig(candidates="s3"))


def darts_s4_cifar10() -> SearchConfig:
    """DARTS of second order in the reduced space S4, where it collapses. Quoted for it: 7.20 % test error after
    retraining (Wang et al. 2021, DARTS-PT, table 3)."""
    return _search("darts_s4_cifar10", CIFAR10, MethodConfig(step="unrolled"), space=SearchSpaceConfig(candidates="s4"))


def drnas_cifar10() -> SearchConfig:
    """DrNAS with progressive learning on CIFAR-10, at the size that is evaluated. Published: 2.46 +- 0.03 % test error
    after retraining with ``--batch-size 64 --drop-path 0.3``, 4.1 M parameters, 0.6 GPU-days (Chen et al. 2021, the
    code's README)."""
    return _search(
        "drnas_cifar10",
        CIFAR10,
        "drnas_progressive",
        space=SearchSpaceConfig(channels=36, layers=20),
        weights=WeightsConfig(lr=0.1, lr_min=0.0),
        logits=LogitsConfig(lr=6e-4),
    )


def drnas_imagenet() -> SearchConfig:
    """DrNAS with progressive learning on ImageNet, at the size that is evaluated: a tenth of each class for the
    weights, a fortieth for the logits, images of 224 pixels. Published: 23.7 % top-1, 7.1 % top-5 test error after
    retraining, 5.7 M parameters, 4.6 GPU-days (Chen et al. 2021, the code's README)."""
    stages = "stage:share=0.5,warmup=0.4,partial=6", "stage:share=0.5,warmup=0.4,partial=3,keep=4"
    return _search(
        "drnas_imagenet",
        IMAGENET,
        MethodConfig("drnas_progressive", stages=stages),
        space=SearchSpaceConfig(channels=48, layers=14, stem="imagenet_wide"),
        weights=WeightsConfig(lr=0.5, lr_min=0.0, warmup=5),
        logits=LogitsConfig(lr=6e-3, clip=5.0),
        batch_size=512,
        **IMAGENET_SHARES,
    )


def drnas_plain_cifar10() -> SearchConfig:
    """DrNAS without progressive learning on CIFAR-10, at DARTS's size. No number that we could verify is published."""
    return _search("drnas_plain_cifar10", CIFAR10, "drnas", logits=LogitsConfig(lr=6e-4))


def beta_darts_cifar10() -> SearchConfig:
    """beta-DARTS on CIFAR-10. Quoted for it: 2.53 +- 0.08 % test error after retraining, 3.8 M parameters,
    0.4 GPU-days on a GTX 1080 Ti."""
    return _search("beta_darts_cifar10", CIFAR10, "beta_darts")


def beta_darts_cifar100() -> SearchConfig:
    """beta-DARTS on CIFAR-100. Tables that quote it disagree: 16.52 or 17.43 % test error after retraining."""
    return _search("beta_darts_cifar100", CIFAR100, "beta_darts")


def darts_pt_cifar10() -> SearchConfig:
    """DARTS-PT on CIFAR-10: 50 epochs of DARTS, then 81 of decisions. Published: 2.61 +- 0.08 % test error after
    retraining, 3.0 M parameters, 0.8 GPU-days on a GTX 1080 Ti (Wang et al. 2021, table 2); in S1 to S4
    (``--space.candidates``) 3.50, 2.79, 2.49 and 2.64 % (table 3)."""
    return _search("darts_pt_cifar10", CIFAR10, "darts_pt", epochs=131)


def darts_pt_fixed_cifar10() -> SearchConfig:
    """DARTS-PT with logits that do not learn on CIFAR-10. Published: 2.87 % test error after retraining, in S1 to S4
    (``--space.candidates``) 2.86, 2.59, 2.52 and 2.58 % (Wang et al. 2021)."""
    return _search("darts_pt_fixed_cifar10", CIFAR10, "darts_pt_fixed", epochs=131)


def sdarts_rs_pt_cifar10() -> SearchConfig:
    """SDARTS-RS with perturbation-based selection on CIFAR-10. Published: 2.54 +- 0.10 % test error after retraining
    (Wang et al. 2021, table 2)."""
    return _search("sdarts_rs_pt_cifar10", CIFAR10, MethodConfig("darts_pt", perturb="random"), epochs=131)


def milenas_cifar10() -> SearchConfig:
    """MiLeNAS on CIFAR-10. No number that we could verify is published."""
    return _search("milenas_cifar10", CIFAR10, "milenas")


def idarts_cifar10() -> SearchConfig:
    """iDARTS on CIFAR-10. No number that we could verify is published."""
    return _search("idarts_cifar10", CIFAR10, "idarts")


def gaea_darts_cifar10() -> SearchConfig:
    """GAEA on DARTS on CIFAR-10. No number that we could verify is published."""
    return _search("gaea_darts_cifar10", CIFAR10, "gaea")


def gaea_pc_darts_cifar10() -> SearchConfig:
    """GAEA on PC-DARTS on CIFAR-10, to be retrained with ``--drop-path 0.3``. No number that we could verify is
    published."""
    return _search(
        "gaea_pc_darts_cifar10", CIFAR10, "gaea_pc_darts", weights=WeightsConfig(lr=0.1, lr_min=0.0), batch_size=256
    )


def zarts_cifar10() -> SearchConfig:
    """ZARTS on CIFAR-10. Quoted for it: 2.54 +- 0.07 % test error after retraining, 3.7 M parameters, 1.0 GPU-days."""
    return _search("zarts_cifar10", CIFAR10, "zarts")


def oles_cifar10() -> SearchConfig:
    """OLES on CIFAR-10. Quoted for it: 2.41 +- 0.11 % test error after retraining, 0.4 GPU-days."""
    return _search("oles_cifar10", CIFAR10, "oles")


def oles_cifar100() -> SearchConfig:
    """OLES on CIFAR-100. Quoted for it: 17.33 % test error after retraining."""
    return _search("oles_cifar100", CIFAR100, "oles")


def sgas_cifar10() -> SearchConfig:
    """SGAS by criterion 1 on CIFAR-10, its batches growing from 64 to 128 images. Published: 2.66 +- 0.24 % test error
    after retraining, best 2.39 %, 3.8 M parameters, 0.25 GPU-days on a GTX 1080 Ti (Li et al. 2020, the code's
    README)."""
    return _search("sgas_cifar10", CIFAR10, MethodConfig("sgas", discretize="greedy:growth=8"))


def sgas_2_cifar10() -> SearchConfig:
    """SGAS by criterion 2 on CIFAR-10, its batches growing from 64 to 128 images. Published: 2.67 +- 0.21 % test error
    after retraining, best 2.44 %, 4.1 M parameters, 0.25 GPU-days on a GTX 1080 Ti (Li et al. 2020, the code's
    README)."""
    return _search("sgas_2_cifar10", CIFAR10, MethodConfig("sgas_2", discretize="greedy:criterion=2,growth=8"))


FAMILY: dict[str, Callable[[], SearchConfig]] = {
    "pc_darts_cifar10": pc_darts_cifar10,
    "pc_darts_cifar100": pc_darts_cifar100,
    "pc_darts_imagenet": pc_darts_imagenet,
    "pdarts_cifar10": pdarts_cifar10,
    "pdarts_cifar100": pdarts_cifar100,
    "gdas_cifar10": gdas_cifar10,
    "gdas_cifar100": gdas_cifar100,
    "snas_cifar10": snas_cifar10,
    "fair_darts_cifar10": fair_darts_cifar10,
    "darts_minus_cifar10": darts_minus_cifar10,
    "darts_minus_cifar100": darts_minus_cifar100,
    "sdarts_rs_cifar10": sdarts_rs_cifar10,
    "sdarts_adv_cifar10": sdarts_adv_cifar10,
    "robust_darts_es_cifar10": robust_darts_es_cifar10,
    "robust_darts_ada_cifar10": robust_darts_ada_cifar10,
    "robust_darts_l2_cifar10": robust_darts_l2_cifar10,
    "robust_darts_dp_cifar10": robust_darts_dp_cifar10,
    "darts_s1_cifar10": darts_s1_cifar10,
    "darts_s2_cifar10": darts_s2_cifar10,
    "darts_s3_cifar10": darts_s3_cifar10,
    "darts_s4_cifar10": darts_s4_cifar10,
    "drnas_cifar10": drnas_cifar10,
    "drnas_imagenet": drnas_imagenet,
    "drnas_plain_cifar10": drnas_plain_cifar10,
    "beta_darts_cifar10": beta_darts_cifar10,
    "beta_darts_cifar100": beta_darts_cifar100,
    "darts_pt_cifar10": darts_pt_cifar10,
    "darts_pt_fixed_cifar10": darts_pt_fixed_cifar10,
    "sdarts_rs_pt_cifar10": sdarts_rs_pt_cifar10,
    "milenas_cifar10": milenas_cifar10,
    "idarts_cifar10": idarts_cifar10,
    "gaea_darts_cifar10": gaea_darts_cifar10,
    "gaea_pc_darts_cifar10": gaea_pc_darts_cifar10,
    "zarts_cifar10": zarts_cifar10,
    "oles_cifar10": oles_cifar10,
    "oles_cifar100": oles_cifar100,
    "sgas_cifar10": sgas_cifar10,
    "sgas_2_cifar10": sgas_2_cifar10,
}
