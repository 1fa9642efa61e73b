"""Costs of architectures: those of the real network, for every space; and limits on them."""

import json

import pytest
import torch
from torch import nn

from supernet import architectures
from supernet.cost.architecture import Deployment, costs_of
from supernet.cost.limits import exceeded, parse_limits, quantity, shown
from supernet.cost.network import peak_activations
from supernet.cost.verification import IMAGES, OBSERVED, compared, run
from supernet.errors import SpaceError
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions

SAMPLES = 1


@pytest.mark.parametrize("name", OBSERVED)
def test_costs_are_those_of_the_real_network(name):
    """``python -m supernet.cost.verification`` compares many more architectures."""
    found = compared(name, SAMPLES)["equal"]
    assert set(found.values()) == {SAMPLES} and {"parameters", "multiply_adds", "memory"} <= set(found)


def test_memory_grows_with_the_batch():
    space = SPACES["nasbench201"].make(SpaceOptions(IMAGES, channels=8, layers=3))
    genotype = space.derive(architectures.sample(space, torch.Generator().manual_seed(0)))
    one, four = (costs_of(space, genotype, ("memory",), Deployment(IMAGES, batch))["memory"] for batch in (1, 4))
    assert four == pytest.approx(4 * one, rel=0.1)


def test_the_command_says_what_is_equal(tmp_path, capsys):
    path = tmp_path / "costs.json"
    assert run(["--genotypes", "1", "--spaces", "nasbench201", "--json", str(path)]) == 0
    assert "nasbench201: equal for all 1: parameters, multiply_adds" in capsys.readouterr().out
    assert json.loads(path.read_text())["rows"][0]["equal"]["sum of memory_accesses"] == 1
    assert run(["--spaces", "mars"]) == 2 and "--spaces is 'mars'" in capsys.readouterr().err
    for mistake, message in (("--genotypes=0", "--genotypes is 0"), ("--genotipes=3", "the nearest: --genotypes")):
        assert run([mistake]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("inplace", [False, True])
def test_the_peak_of_the_activations(inplace):
    """Input, convolution's output, and ReLU's output where it is another tensor; 4 bytes each."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace), nn.Conv2d(8, 4, 3, padding=1))
    assert peak_activations(network, ImageShape(3, 8, 2), 2) == 4 * 2 * 64 * (3 + 8 + (4 if inplace else 8))


def test_limits():
    limits = parse_limits("parameters=1.5M, latency = 5ms,memory=2MB")
    assert limits == {"parameters": 1.5e6, "latency": 5.0, "memory": 2e6}
    assert exceeded({"parameters": 3e6, "latency": 4, "memory": 2e6}, limits) == {"parameters": 1.0}
    assert quantity("latency", "2s") == 2000 and shown("latency", 4.81) == "4.81ms"
    assert shown("parameters", 1_250_000) == "1.25M" and shown("memory", 2048) == "2.048kB"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size=3", "`limits` is 'size=3'; write COST=VALUE, where COST is one of parameters"),
        ("latency<3", "write COST=VALUE"),
        ("latency=3MB", "not a positive quantity of latency; its unit may be us, ms, s"),
        ("memory=0", "not a positive quantity of memory"),
        ("memory=1,memory=2", "two limits of memory"),
        ("", "write COST=VALUE"),
    ],
)
def test_limits_that_cannot_be_read(text, message):
    with pytest.raises(SpaceError, match=message):
        parse_limits(text)


def test_latency_needs_a_table():
    shape = ImageShape(3, 8, 4)
    space = SPACES["nasbench201"].make(SpaceOptions(shape, channels=4, layers=1))
    genotype = space.derive(architectures.sample(space, torch.Generator().manual_seed(0)))
    with pytest.raises(SpaceError, match="python -m supernet.cost.latency"):
        costs_of(space, genotype, ("latency",), Deployment(shape))
