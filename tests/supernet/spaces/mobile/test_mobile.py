"""Mobile networks: equal to NAS-Bench-Macro's table and to torchvision's networks; searched supernets inherit."""

import csv
import itertools
import os
from pathlib import Path

import pytest
import torch
import torchvision

from darts.benchmarks.nasbenchmacro import architecture
from supernet import architectures
from supernet.cost.network import count
from supernet.errors import SpaceError
from supernet.network import count_parameters
from supernet.shapes import ImageShape
from supernet.spaces.mobile import inverted, nasbenchmacro
from supernet.spaces.mobile.mobilenet import EFFICIENTNET_B0, MOBILENET_V3_LARGE, MobileNetSpace
from supernet.spaces.mobile.network import stage_sizes
from supernet.spaces.space import SpaceOptions

CIFAR10 = ImageShape(3, 32, 10)
MACRO = nasbenchmacro.ENTRY.make(SpaceOptions(CIFAR10, channels=32, layers=8))
SAMPLE = {
    "02012100": (890666, 47327744),
    "11111221": (2181386, 65012224),
    "00011110": (1118378, 31390208),
    "02012220": (1886890, 65495552),
    "00220121": (2038570, 54901248),
}
"""Digits -> parameters and multiply-adds of the benchmark's table."""


@pytest.mark.parametrize("text", SAMPLE)
def test_networks_have_the_tables_weights_and_multiply_adds(text):
    with torch.device("meta"):
        cost = count(MACRO.network(architecture(text)), CIFAR10)
    assert (cost.parameters, cost.multiply_adds) == SAMPLE[text]


def test_every_network_has_the_tables_number_of_weights():
    """The weights of all 6,561 follow from those of each candidate of each block, which are counted in the supernet."""
    path = Path(os.environ.get("DATA_ROOT", "-")) / "nasbenchmacro" / "nasbenchmacro.csv"
    if not path.is_file():
        pytest.skip("needs NAS-Bench-Macro's table: set DATA_ROOT")
    with torch.device("meta"):
        model = MACRO.supernet().model
    blocks = [[count_parameters(candidate) for candidate in choice.candidates] for choice in model.blocks]
    fixed = count_parameters(model) - sum(map(sum, blocks))
    with open(path) as file:
        table = {row["arch"]: int(row["params"]) for row in csv.DictReader(file)}
    found = {
        "".join(map(str, places)): fixed + sum(block[place] for block, place in zip(blocks, places))
        for places in itertools.product(range(3), repeat=8)
    }
    assert found == table
    assert all(found[text] == parameters for text, (parameters, _) in SAMPLE.items())


def test_the_benchmarks_stages():
    assert [stage_sizes(layers) for layers in (3, 4, 5, 8)] == [(1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 3, 3)]
    with pytest.raises(SpaceError, match="`space.layers` is 2; three stages need 3"):
        nasbenchmacro.ENTRY.make(SpaceOptions(CIFAR10, layers=2))


@pytest.mark.parametrize("entry", [nasbenchmacro, inverted])
def test_a_network_that_inherits_equals_the_supernet(entry):
    space = entry.ENTRY.make(SpaceOptions(ImageShape(3, 8, 4), channels=4, layers=4))
    supernet = space.supernet()
    x = torch.randn(2, 3, 8, 8)
    picks = architectures.sample(space, torch.Generator().manual_seed(0))
    gates = architectures.one_hot(space.tables, picks)
    supernet(x, gates)
    network = space.network(space.derive(picks))
    space.inherit(network, supernet, space.derive(picks))
    torch.testing.assert_close(network.eval()(x), supernet.eval()(x, gates))


@pytest.mark.parametrize(
    ("genotype", "build", "parameters"),
    [
        (EFFICIENTNET_B0, torchvision.models.efficientnet_b0, 5_288_548),
        (MOBILENET_V3_LARGE, torchvision.models.mobilenet_v3_large, 5_483_032),
    ],
    ids=["efficientnet_b0", "mobilenet_v3_large"],
)
def test_published_networks_are_architectures_of_the_space(genotype, build, parameters):
    """Equal to torchvision's: the number of weights, every layer's shape, multiply-adds."""
    shape = ImageShape(3, 224, 1000)
    space = MobileNetSpace(shape)
    assert space.valid(space.picks(genotype)) is None and space.derive(space.picks(genotype)) == genotype
    with torch.device("meta"):
        ours, theirs = space.network(genotype), build()
    assert count(ours, shape) == count(theirs, shape) and count_parameters(ours) == parameters
    shapes = [sorted(tuple(p.shape) for p in network.parameters() if p.ndim > 1) for network in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_widths_and_depths():
    """Widths follow the channels, depths are limited by the layers, and missing blocks decide nothing."""
    space = MobileNetSpace(ImageShape(1, 8, 4), channels=8, layers=2)
    assert all(int(table.candidates[-1]) <= 2 for table in space.tables if table.label.endswith("depth"))
    picks = architectures.sample(space, torch.Generator().manual_seed(1))
    network = space.network(space.derive(picks))
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    genotype = space.derive(picks)
    more = type(genotype)((*genotype.picks, ("stage1.block3.kernel", ("3",))))
    with pytest.raises(SpaceError, match=r"stage1.block3.kernel' is no table"):
        space.picks(more)
    spare = [label for label in (table.label for table in space.tables) if label not in picks]
    if spare:
        table = next(table for table in space.tables if table.label == spare[0])
        with pytest.raises(SpaceError, match="takes no part"):
            space.picks(type(genotype)((*genotype.picks, (spare[0], table.candidates[:1]))))
    with pytest.raises(SpaceError, match="has no supernet"):
        space.supernet()
