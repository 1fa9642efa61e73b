"""Every method on the digits benchmark: searches whose true accuracy, rank and regret are known after every epoch.

The supernet has the size of the benchmark's networks and learns from the benchmark's training images, half of them for
the weights and half for the logits. As each method's authors search NAS-Bench-201, where the recipes of that space say
how; else as in the method's paper. No number is published for any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from darts.benchmarks.digits.training import PROTOCOL, STAGES, STEM
from darts.config import (
    BenchmarkConfig,
    LogitsConfig,
    MethodConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    WeightsConfig,
)
from darts.methods import METHODS
from darts.recipes import nasbench201
from darts.recipes.data_sets import DIGITS201
from darts.recipes.recipe import recipe
from genotypes.types.nasbench201 import EDGES

EPOCHS = 20

SPACE = SearchSpaceConfig(
    name="nasbench201", channels=PROTOCOL.channels, layers=PROTOCOL.layers, stages=STAGES, stem=STEM
)
"""A supernet of the size of the benchmark's networks."""

SHARES = {"before": EPOCHS - len(EDGES), "deciding": len(EDGES)}
"""Of DARTS-PT: an edge is fixed in each of the last epochs."""

FORMS = {
    "gdas": nasbench201.gdas_nasbench201_cifar10().method,
    "snas": MethodConfig("snas", reach_end=True),
    "drnas": nasbench201.drnas_nasbench201_cifar10().method,
    "drnas_progressive": nasbench201.drnas_progressive_nasbench201_cifar10().method,
    "darts_pt": nasbench201.perturbed("darts_pt", **SHARES),
    "darts_pt_fixed": nasbench201.perturbed("darts_pt_fixed", **SHARES),
    "gaea": nasbench201.gaea_nasbench201_cifar10().method,
}
"""Method -> its form on this space, where that is not its own."""

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "snas": {"train_share": 1.0, "order": "together"},
    "gaea": {"train_share": 1.0, "logits": LogitsConfig(lr=0.1)},
    "gaea_pc_darts": {"logits": LogitsConfig(lr=0.1)},
}
"""Method -> further fields of its search."""


def made(method: str) -> Callable[[], SearchConfig]:
    """Return the recipe of a method."""

    def make() -> SearchConfig:
        options: dict[str, Any] = {
            "data": DIGITS201,
            "space": SPACE,
            "method": FORMS.get(method, MethodConfig(method)),
            "weights": WeightsConfig(nesterov=True, weight_decay=PROTOCOL.weight_decay),
            "logits": LogitsConfig(lr=0.02),
            "benchmark": BenchmarkConfig(name="digits201"),
            "epochs": EPOCHS,
            "batch_size": 50,
            "order": "weights_first",
        }
        return SearchConfig(**{**options, **FIELDS.get(method, {})})

    make.__name__ = f"{method}_digits201"
    make.__doc__ = (
        f"{method} on the digits benchmark: some seconds to a minute; the log has the true accuracy, rank and regret "
        f"of every epoch's genotype. No number is published for it."
    )
    return recipe(make)


RECIPES: dict[str, Callable[[], SearchConfig]] = {f"{method}_digits201": made(method) for method in METHODS}
"""Every method on the digits benchmark."""


@recipe
def nasbench201_digits201() -> RetrainConfig:
    """The digits benchmark's training, but that the learning rate falls from epoch to epoch, not from step to step. The
    table tells what to expect of each architecture. No number is published for it."""
    return RetrainConfig(
        data=DIGITS201,
        space=SPACE.of_networks,
        weights=WeightsConfig(
            lr=PROTOCOL.lr,
            lr_min=0.0,
            momentum=PROTOCOL.momentum,
            weight_decay=PROTOCOL.weight_decay,
            nesterov=True,
            clip=nasbench201.UNCLIPPED,
        ),
        epochs=PROTOCOL.epochs,
        batch_size=PROTOCOL.batch_size,
        auxiliary=0.0,
        drop_path=0.0,
    )
