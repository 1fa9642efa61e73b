"""All recipes by name, and the retraining that fits the result of a search.

Their order is that of ``--help``.
"""

from collections.abc import Callable

from darts.config import BlackboxConfig, RetrainConfig, SearchConfig
from darts.recipes import (
    blackbox,
    darts_retrainings,
    darts_searches,
    darts_variants,
    dense_retrainings,
    dense_searches,
    digits201,
    later_methods,
    mobile,
    models,
    nasbench201,
    recurrent,
    robust,
    several_objectives,
    transformers,
)
from darts.recipes.recipe import by_name

SEARCH_RECIPES: dict[str, Callable[[], SearchConfig]] = by_name(
    darts_searches.digits,
    darts_searches.darts_v1_cifar10,
    darts_searches.darts_v2_cifar10,
    darts_searches.darts_cifar100,
    darts_searches.darts_svhn,
    darts_searches.darts_mnist,
    darts_searches.darts_fashion_mnist,
    darts_searches.darts_folder,
    darts_searches.darts_npz,
    darts_variants.pc_darts_cifar10,
    darts_variants.pc_darts_cifar100,
    darts_variants.pc_darts_imagenet,
    darts_variants.pdarts_cifar10,
    darts_variants.pdarts_cifar100,
    darts_variants.gdas_cifar10,
    darts_variants.gdas_cifar100,
    darts_variants.snas_cifar10,
    darts_variants.fair_darts_cifar10,
    robust.darts_minus_cifar10,
    robust.darts_minus_cifar100,
    robust.sdarts_rs_cifar10,
    robust.sdarts_adv_cifar10,
    robust.robust_darts_es_cifar10,
    robust.robust_darts_ada_cifar10,
    robust.robust_darts_l2_cifar10,
    robust.robust_darts_dp_cifar10,
    robust.darts_s1_cifar10,
    robust.darts_s2_cifar10,
    robust.darts_s3_cifar10,
    robust.darts_s4_cifar10,
    later_methods.drnas_cifar10,
    later_methods.drnas_imagenet,
    later_methods.drnas_plain_cifar10,
    later_methods.beta_darts_cifar10,
    later_methods.beta_darts_cifar100,
    later_methods.darts_pt_cifar10,
    later_methods.darts_pt_fixed_cifar10,
    later_methods.sdarts_rs_pt_cifar10,
    later_methods.milenas_cifar10,
    later_methods.idarts_cifar10,
    later_methods.gaea_darts_cifar10,
    later_methods.gaea_pc_darts_cifar10,
    later_methods.zarts_cifar10,
    later_methods.oles_cifar10,
    later_methods.oles_cifar100,
    later_methods.sgas_cifar10,
    later_methods.sgas_2_cifar10,
    nasbench201.darts_nasbench201_cifar10,
    nasbench201.darts_nasbench201_cifar100,
    nasbench201.darts_v2_nasbench201_cifar10,
    nasbench201.gdas_nasbench201_cifar10,
    nasbench201.drnas_nasbench201_cifar10,
    nasbench201.drnas_progressive_nasbench201_cifar10,
    nasbench201.beta_darts_nasbench201_cifar10,
    nasbench201.darts_pt_nasbench201_cifar10,
    nasbench201.darts_pt_fixed_nasbench201_cifar10,
    nasbench201.gaea_nasbench201_cifar10,
    nasbench201.darts_nasbench201_digits,
    mobile.darts_nasbenchmacro_cifar10,
    mobile.darts_mobile_digits,
    transformers.darts_vit_digits,
    transformers.darts_vit_mnist,
    transformers.darts_vit_cifar10,
    transformers.gdas_translation_reversed_digits,
    transformers.gdas_translation_pairs,
    models.darts_convnet_digits,
    models.darts_convnet_mnist,
    models.darts_textnet_csv,
    recurrent.darts_recurrent_ptb,
    recurrent.darts_v2_recurrent_ptb,
    recurrent.darts_recurrent_text,
    dense_searches.segmentation_digits,
    dense_searches.detection_digits,
    dense_searches.segmentation_mnist,
    dense_searches.detection_mnist,
    *digits201.RECIPES.values(),
)

BLACKBOX_RECIPES: dict[str, Callable[[], BlackboxConfig]] = {
    **blackbox.RECIPES,
    **by_name(
        several_objectives.nsga2_digits,
        several_objectives.nsga2_mnist,
        several_objectives.nsga2_cifar10,
        several_objectives.nsga2_nasbench201,
        mobile.evolution_nasbenchmacro,
        transformers.evolution_vit_digits,
        transformers.evolution_vit_mnist,
        transformers.evolution_vit_cifar10,
        transformers.evolution_translation_reversed_digits,
    ),
}
"""Searches without gradients."""

FINAL_RECIPES: dict[str, Callable[[], RetrainConfig]] = by_name(
    darts_retrainings.digits,
    darts_retrainings.darts_cifar10,
    darts_retrainings.darts_cifar100,
    darts_retrainings.darts_svhn,
    darts_retrainings.darts_mnist,
    darts_retrainings.darts_fashion_mnist,
    darts_retrainings.darts_imagenet,
    darts_retrainings.darts_folder,
    darts_retrainings.darts_npz,
    nasbench201.nasbench201_cifar10,
    nasbench201.nasbench201_cifar10_12epochs,
    nasbench201.nasbench201_cifar100,
    nasbench201.nasbench201_cifar100_12epochs,
    nasbench201.nasbench201_digits,
    digits201.nasbench201_digits201,
    mobile.nasbenchmacro_cifar10,
    mobile.mobile_digits,
    transformers.vit_digits,
    transformers.vit_mnist,
    transformers.vit_cifar10,
    transformers.translation_reversed_digits,
    transformers.translation_pairs,
    models.convnet_digits,
    models.convnet_mnist,
    models.textnet_csv,
    recurrent.recurrent_ptb,
    recurrent.recurrent_wikitext2,
    recurrent.recurrent_text,
    dense_retrainings.segmentation_digits,
    dense_retrainings.detection_digits,
    dense_retrainings.segmentation_mnist,
    dense_retrainings.detection_mnist,
)


def final_for(space: str | None, data: str) -> str:
    """Return the name of the first recipe that retrains results of a space on a data set.

    Where there is none of the space, it is the first on the data set.
    """
    known = {name: make() for name, make in FINAL_RECIPES.items()}
    on_data = [name for name, config in known.items() if config.data.name == data]
    fitting = [name for name in on_data if known[name].space.name == space]
    return (fitting or on_data)[0]
