"""The models with choices that come along: every decision is reached, and each derived network equals its supernet."""

import random

import pytest
import torch

from supernet import architectures
from supernet.shapes import ImageShape, TextShape
from supernet.spaces.examples.convnet import ConvNet
from supernet.spaces.examples.textnet import TextNet
from supernet.spaces.modules import ModuleSpace

WORDS = torch.tensor([[3, 4, 5, 6, 2], [7, 8, 0, 0, 0], [2, 2, 9, 0, 0]])
MODELS = {
    "convnet": (lambda: ConvNet(ImageShape(1, 9, 4), 3, 2), torch.randn(3, 1, 9, 9, dtype=torch.float64)),
    "textnet": (lambda: TextNet(TextShape(10, 5, 3), 8, 2), WORDS),
}


@pytest.mark.parametrize("name", MODELS)
def test_derived_networks_equal_the_supernet(name):
    torch.manual_seed(0)
    make, x = MODELS[name]
    space = ModuleSpace(make().double())
    space.check(lambda model: model(x))
    supernet, rng = space.supernet(), random.Random(0)
    for _ in range(3):
        picks = {t.label: ((0, rng.choice(t.candidates)),) for t in space.tables}
        genotype = space.derive(picks)
        gates = architectures.one_hot(space.tables, picks, torch.float64)
        network = space.network(genotype, searched=True)
        space.inherit(network, supernet, genotype)
        for training in (True, False):
            supernet.train(training), network.train(training)
            torch.testing.assert_close(network(x), supernet(x, gates), rtol=0, atol=1e-12)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    network = ModuleSpace(TextNet(TextShape(10, 9, 3), 8)).supernet().eval()
    gates = {t.label: torch.full((1, len(t.candidates)), 0.5) for t in ModuleSpace(network.model).tables}
    longer = torch.nn.functional.pad(WORDS, (0, 4))
    torch.testing.assert_close(network(longer, gates), network(WORDS, gates))
