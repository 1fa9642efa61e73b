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
from darts.recipes.data_sets import DIGITS201
from darts.recipes.recipe import recipe
from genotypes.types.nasbench201 import EDGES

EPOCHS = 20

SPACE = SearchSpaceConfig(
    name="nasbench201", channels=PROTOCOL.channels, layers=PROTOCOL.layers, stages=STAGES, stem=STEM
)
"""A supernet of the size of the benchmark's networks."""

BEFORE, DECIDING = f"stage:share={EPOCHS - len(EDGES)}", f"stage:share={len(EDGES)},lr=0.1,restart=true"
DECISIONS = {
    "discretize": f"perturbation:first={1 - len(EDGES) / EPOCHS},last={1 - 1 / EPOCHS}",
    "without": (),
}
"""Of DARTS-PT: an edge is fixed in each of the last epochs."""

COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "gdas": {"relax": "gumbel:bare=true", "reach_end": True},
    "snas": {"reach_end": True},
    "drnas": {"without": ()},
    "drnas_progressive": {"stages": ("stage:share=0.5,partial=4", "stage:share=0.5,partial=2,keep=3"), "without": ()},
    "darts_pt": {"stages": (BEFORE, DECIDING), **DECISIONS},
    "darts_pt_fixed": {"stages": (f"{BEFORE},warmup=1", f"{DECIDING},warmup=1"), **DECISIONS},
    "gaea": {"step": "single_level"},
}
"""Method -> components by which it searches NAS-Bench-201, where they are not its own."""

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
            "method": MethodConfig(method, **COMPONENTS.get(method, {})),
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
            clip=1e9,
        ),
        epochs=PROTOCOL.epochs,
        batch_size=PROTOCOL.batch_size,
        auxiliary=0.0,
        drop_path=0.0,
    )
