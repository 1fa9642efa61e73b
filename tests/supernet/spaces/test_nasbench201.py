"""NAS-Bench-201's networks: the benchmark's weights and multiply-adds."""

import csv
import os
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from genotypes.types.nasbench201 import from_string
from supernet.network import count_parameters
from supernet.shapes import ImageShape
from supernet.spaces.nasbench201 import NASBench201Space
from tests import fixture_data as fixture

SPACES = {
    "cifar10": NASBench201Space(ImageShape(3, 32, 10)),
    "cifar100": NASBench201Space(ImageShape(3, 32, 100)),
    "imagenet16": NASBench201Space(ImageShape(3, 16, 120)),
}
SMALL = {
    "one stage, strided": NASBench201Space(ImageShape(3, 9, 10), 8, 2, stages=1, stem_stride=2),
    "two stages": NASBench201Space(ImageShape(3, 9, 10), 8, 1, stages=2),
}
"""Networks that the benchmark does not have."""
FIGURES = fixture.cases("nasbench201")["nasbench201.json"]["rows"]


@pytest.mark.parametrize("row", FIGURES, ids=lambda row: row[0])
def test_figures_of_the_benchmark(row):
    """By the closed form, which ``test_closed_forms_are_those_of_real_networks`` checks."""
    genotype = from_string(row[0])
    for space, weights, millions in zip(SPACES.values(), row[1::2], row[2::2]):
        assert space.parameters(genotype) == weights
        assert f"{space.multiply_adds(genotype) / 1e6:.5f}" == millions


@pytest.mark.parametrize("row", FIGURES[::6], ids=lambda row: row[0])
@pytest.mark.parametrize("data", [*SPACES, *SMALL])
def test_closed_forms_are_those_of_real_networks(data, row):
    space, genotype = {**SPACES, **SMALL}[data], from_string(row[0])
    with torch.device("meta"):
        network, image = space.network(genotype), torch.empty(1, 3, space.shape.size, space.shape.size)
    assert count_parameters(network) == space.parameters(genotype)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    assert counter.get_total_flops() // 2 + space.shape.classes == space.multiply_adds(genotype)


def test_closed_forms_hold_for_other_sizes():
    for shape, channels, layers in ((ImageShape(1, 28, 7), 6, 2), (ImageShape(2, 9, 3), 5, 1)):
        space, genotype = NASBench201Space(shape, channels, layers), from_string(FIGURES[20][0])
        network, image = space.network(genotype), torch.randn(2, shape.channels, shape.size, shape.size)
        assert network(image).shape == (2, shape.classes)
        assert count_parameters(network) == space.parameters(genotype)


def test_all_architectures_have_the_tables_figures():
    table = Path(os.environ.get("DATA_ROOT", "-")) / "nasbench201" / "nb201.csv"
    if not table.is_file():
        pytest.skip("needs NAS-Bench-201's table: set DATA_ROOT")
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15_625
    for row in rows:
        genotype = from_string(row["arch_str"])
        assert str(genotype) == row["arch_str"]
        for data, space in SPACES.items():
            assert space.parameters(genotype) == int(row[f"params_{data}"])
            assert f"{space.multiply_adds(genotype) / 1e6:.5f}" == row[f"mflops_{data}"]
