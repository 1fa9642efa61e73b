"""Every recipe is whole: it composes, has a number or says that there is none, and trains every method somewhere."""

import re

import pytest
import torch

from darts.bilevel.arch_optimizers import adam
from darts.bilevel.discretization import decisions_due
from darts.config import check
from darts.methods import METHODS
from darts.methods.compose import compose
from darts.methods.method import spans
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES, final_for


@pytest.mark.parametrize("name", SEARCH_RECIPES)
def test_a_recipe_composes_and_says_what_to_expect(name):
    make = SEARCH_RECIPES[name]
    config = make()
    check(config)
    compose(config)
    assert config.recipe == name and final_for(config.space.name, config.data.name) in FINAL_RECIPES
    if config.data.name not in ("digits", "folder", "npz"):
        assert re.search(r"\d\.\d+ (\+- \d|%|or|test)|No number", make.__doc__), make.__doc__


def test_every_method_has_a_recipe():
    assert {make().method.name for make in SEARCH_RECIPES.values()} == set(METHODS)


def test_the_papers_sizes():
    """Cells, candidates and channels of the stages that papers state."""
    pdarts = SEARCH_RECIPES["pdarts_cifar10"]()
    stages = compose(pdarts).stages
    assert [round(pdarts.space.layers * stage.depth) for stage in stages] == [5, 11, 17]
    assert [stage.keep for stage in stages] == [None, 5, 3]
    drnas = SEARCH_RECIPES["drnas_cifar10"]()
    assert [drnas.space.channels // stage.partial for stage in compose(drnas).stages] == [6, 9]
    assert SEARCH_RECIPES["darts_pt_cifar10"]().epochs == 131
    imagenet = SEARCH_RECIPES["drnas_imagenet"]()
    assert [imagenet.space.channels // stage.partial for stage in compose(imagenet).stages] == [8, 16]
    pc_darts = SEARCH_RECIPES["pc_darts_imagenet"]()
    assert [stage.warmup * pc_darts.epochs for stage in compose(pc_darts).stages] == [35]
    benchmark = SEARCH_RECIPES["darts_pt_nasbench201_cifar10"]()
    assert spans(compose(benchmark).stages, benchmark.epochs) == [range(100), range(100, 126)]
    choices = compose(benchmark).discretize
    counts = [decisions_due(6, choices.first, choices.last, epoch + 1, 126) for epoch in range(126)]
    assert [counts.index(k) for k in range(1, 7)] == [99, 104, 109, 114, 119, 124]
    assert compose(benchmark).without == () and compose(SEARCH_RECIPES["darts_pt_cifar10"]()).without == ("none",)


@pytest.mark.parametrize("name", ["gdas_translation_reversed_digits", "gdas_translation_pairs"])
def test_weight_decay_does_not_hold_logits_against_the_small_gradients_of_samples(name):
    """Of the first epochs of these searches, largest entry of each table: 1e-6 to 1e-4, of changing sign."""
    logits = {"table": torch.zeros(1, 2)}
    optimizer = adam(logits, (), SEARCH_RECIPES[name]().logits)
    for step in range(60):
        gradient = 1e-5 if step % 3 else -1e-5
        logits["table"].grad = torch.tensor([[gradient, -gradient]])
        optimizer.step()
    assert logits["table"][0, 1] > 0.2
