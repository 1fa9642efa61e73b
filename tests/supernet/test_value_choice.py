"""Choices of numbers, and layers whose sizes are choices: a supernet under one-hot gates is the derived network."""

import copy

import pytest
import torch
from torch import nn

from genotypes.types.choices import ChoicesGenotype
from supernet import architectures, layers
from supernet.cost.network import count
from supernet.cost.space_costs import SpaceCosts
from supernet.errors import SpaceError
from supernet.layer_choice import LayerChoice
from supernet.shapes import ImageShape
from supernet.spaces.modules import ModuleSpace
from supernet.value_choice import ValueChoice, value_of

IMAGES = ImageShape(2, 5, 3)


class Net(nn.Module):
    """Widths, a ratio of one, kernels, dropout, a value in ``forward``; one of them inside a candidate."""

    def __init__(self):
        super().__init__()
        width = ValueChoice([2, 4, 6], "width")
        hidden = width * ValueChoice([1, 2], "ratio")
        self.stem = layers.Conv2d(2, width, ValueChoice([3, 5, 1], "kernel"), padding="same")
        self.norm = layers.BatchNorm2d(width)
        depthwise = layers.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        wide = nn.Sequential(layers.Conv2d(width, hidden, 1), nn.Sigmoid(), layers.Conv2d(hidden, width, 1))
        self.block = LayerChoice({"depthwise": depthwise, "wide": wide}, "block")
        self.dropout = layers.Dropout(ValueChoice([0.0, 0.5], "dropout"))
        self.scale = ValueChoice([0.5, 2.0], "scale")
        self.head = layers.Linear(25 * width, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).sigmoid()
        return self.head(self.dropout(self.block(x) * self.scale()).flatten(1))


@pytest.fixture
def space():
    torch.manual_seed(0)
    model = Net()
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_(0.5, 2)
    return ModuleSpace(model)


def test_one_hot_gates_compute_the_derived_network(space):
    generator, x = torch.Generator().manual_seed(0), torch.randn(3, 2, 5, 5)
    supernet = space.supernet().eval()
    for _ in range(12):
        picks = architectures.sample(space, generator)
        genotype = space.derive(picks)
        network = space.network(genotype, searched=True).eval()
        space.inherit(network, supernet, genotype)
        assert not any(isinstance(module, layers.SizedLayer | ValueChoice) for module in network.modules())
        found = supernet(x, architectures.one_hot(space.tables, picks))
        assert torch.allclose(found, network(x), atol=1e-6), genotype


def test_a_layer_is_the_gated_sum_of_its_candidates():
    """By definition: of each kernel and width by itself, padded with zeros to the largest width."""
    torch.manual_seed(0)
    width, kernel = ValueChoice([2, 4], "width"), ValueChoice([1, 3], "kernel")
    layer = layers.Conv2d(3, width, kernel, padding="same").double()
    model = ModuleSpace(nn.Sequential(layer)).supernet()
    gates = {"width": torch.tensor([[0.3, 0.7]]).double(), "kernel": torch.tensor([[0.6, 0.4]]).double()}
    for gate in gates.values():
        gate.requires_grad_()
    x = torch.randn(2, 3, 5, 5).double()
    expected = torch.zeros(2, 4, 5, 5).double()
    for w, g in zip((2, 4), gates["width"][0]):
        for k, h in zip((1, 3), gates["kernel"][0]):
            y = layer.decided({"width": (str(w),), "kernel": (str(k),)})(x)
            expected = expected + g * h * nn.functional.pad(y, (0, 0, 0, 0, 0, 4 - w))
    found = model(x, gates)
    assert torch.allclose(found, expected)
    for first, second in zip(*(torch.autograd.grad(y.square().sum(), gates.values()) for y in (found, expected))):
        assert torch.allclose(first, second)


def test_statistics_of_channels_that_take_no_part_stay():
    model = ModuleSpace(nn.Sequential(layers.BatchNorm1d(ValueChoice([2, 4], "width")))).supernet()
    model(torch.randn(8, 4) + 3, {"width": torch.tensor([[1.0, 0.0]])})
    norm = model.model[0]
    assert (norm.running_mean[:2] > 0).all() and norm.running_mean[2:].tolist() == [0, 0]
    plain, x = nn.BatchNorm1d(4), torch.randn(8, 4)
    whole = layers.BatchNorm1d(4)
    assert torch.allclose(plain(x), whole(x))
    assert torch.allclose(plain.running_var, whole.running_var) and torch.allclose(
        plain.running_mean, whole.running_mean
    )


def test_dropout_is_that_of_the_chosen_rate():
    layer = layers.Dropout(ValueChoice([0.25, 0.75], "p"))
    model, x = ModuleSpace(nn.Sequential(layer)).supernet(), torch.ones(4000)
    for gates, values in (([1.0, 0.0], {0, 4 / 3}), ([0.0, 1.0], {0, 4})):
        found = model(x, {"p": torch.tensor([gates])})
        assert sorted(set(found.tolist())) == pytest.approx(sorted(values)) and abs(found.mean().item() - 1) < 0.1
    assert torch.equal(model.eval()(x, {"p": torch.tensor([[0.5, 0.5]])}), x)


@pytest.mark.parametrize("cost", ["parameters", "multiply_adds"])
def test_costs_add_up(space, cost):
    found, generator = SpaceCosts(space, IMAGES).cost(cost), torch.Generator().manual_seed(1)
    for _ in range(6):
        picks = architectures.sample(space, generator)
        network = space.network(space.derive(picks))
        counted = count(network, IMAGES)
        assert found.of(picks) == (counted.parameters if cost == "parameters" else counted.multiply_adds)
    gates = architectures.one_hot(space.tables, picks)
    assert found.total.expected(gates, space.tables).item() == pytest.approx(found.of(picks))


def test_fresh_weights_have_the_deviation_of_a_layer_of_their_size():
    torch.manual_seed(0)
    model = nn.Sequential(layers.Linear(ValueChoice([16, 256], "width"), 200))
    network = ModuleSpace(model).network(ChoicesGenotype({"width": ["16"]}))
    assert network[0].weight.std().item() == pytest.approx(nn.Linear(16, 200).weight.std().item(), rel=0.1)
    searched = ModuleSpace(model).network(ChoicesGenotype({"width": ["16"]}), searched=True)
    assert torch.equal(searched[0].weight, model[0].weight[:, :16])


def test_values_follow_from_choices():
    width, ratio = ValueChoice([2, 4], "width"), ValueChoice([1, 3], "ratio")
    value = (width * ratio + 1).map(lambda number: 10 * number)
    assert value.numbers == (30, 70, 50, 130) and value.of({"width": "4", "ratio": "3"}) == 130
    assert (width * width).numbers == (4, 16) and (width // 2 - 1).numbers == (0, 1) and value_of(7).of({}) == 7
    assert ValueChoice([1, 3], "x")().item() == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ValueChoice([], "x"), "one value or more"),
        (lambda: ValueChoice([1, 1], "x"), "each once"),
        (lambda: ValueChoice([1, "2"], "x"), "has the value '2'; it must have numbers"),
        (lambda: layers.Linear(ValueChoice([0, 2], "x"), 3), "a size is 0"),
        (lambda: layers.Conv2d(1, 2, ValueChoice([2, 3], "x"), padding="same"), "must be odd"),
        (lambda: layers.Conv2d(1, 2, ValueChoice([1, 3], "x")), "`padding` 'same'"),
        (lambda: layers.Conv2d(2, 4, 3, groups=2), "`groups` must be 1"),
        (lambda: layers.Dropout(ValueChoice([0.1, 1.0], "x")), "a probability is 1.0"),
        (lambda: ModuleSpace(nn.Sequential(ValueChoice([1], "x"), ValueChoice([2], "x"))), "two different decisions"),
    ],
)
def test_mistakes_are_one_line(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


def test_a_layer_that_does_not_follow_a_width_is_found_before_training():
    model = nn.Sequential(layers.Linear(4, ValueChoice([2, 8], "width")), nn.Linear(8, 3))
    with pytest.raises(SpaceError, match="the network of width: 2 fails on a batch"):
        ModuleSpace(copy.deepcopy(model)).check(lambda network: network(torch.zeros(2, 4)))
