"""Costs of architectures: those of the real network, for every space; and limits on them."""

import pytest
import torch
from torch import nn

from supernet import architectures
from supernet.cost.architecture import Deployment, costs_of
from supernet.cost.limits import exceeded, parse_limits, quantity, shown
from supernet.cost.network import peak_activations
from supernet.errors import SpaceError
from supernet.shapes import ImageShape, LanguageShape, TextShape
from supernet.spaces import SPACES
from supernet.spaces.examples.textnet import Attention
from supernet.spaces.space import SpaceOptions

SHAPES = {"textnet": TextShape(9, 5, 3), "recurrent": LanguageShape(9)}
SAMPLES = 1


def products_by_hooks(network, inputs):
    """Multiply-adds of the real network as it computes: by hooks on its modules, and by hand where there are none."""
    found = []

    def hook(module, given, output):
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            window = module.weight[0].numel()
            found.append(output.numel() * window)
        elif isinstance(module, nn.Linear):
            found.append(output.numel() * module.in_features)
        elif isinstance(module, Attention):
            _, t, d = given[0].shape
            found.append(2 * t * t * d)
        elif "Cell" in type(module).__name__ and hasattr(module, "w0"):
            found.append(module.w0.numel() + module.w.numel())
        elif type(module).__name__ == "LanguageModel":
            found.append(module.embedding.numel())

    handles = [module.register_forward_hook(hook) for module in network.modules()]
    with torch.no_grad():
        network.eval()(*inputs)
    for handle in handles:
        handle.remove()
    return sum(found)


@pytest.mark.parametrize("name", SPACES)
def test_costs_are_those_of_the_real_network(name):
    shape = SHAPES.get(name, ImageShape(3, 8, 4))
    space = SPACES[name].make(SpaceOptions(shape, channels=8, layers=3))
    generator = torch.Generator().manual_seed(0)
    for _ in range(SAMPLES):
        genotype = space.derive(architectures.sample(space, generator))
        found = costs_of(space, genotype, ("parameters", "multiply_adds", "memory"), Deployment(shape))
        network = space.network(genotype)
        assert found["parameters"] == sum(p.numel() for p in network.parameters())
        assert found["multiply_adds"] == products_by_hooks(network, shape.inputs(1))
        larger = costs_of(space, genotype, ("memory",), Deployment(shape, batch=4))
        assert larger["memory"] == pytest.approx(4 * found["memory"], rel=0.1)


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
