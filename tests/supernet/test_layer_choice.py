"""Choices in anyone's module: gates, cost, wrong use, what is derived, compilation."""

import pytest
import torch
import torch._dynamo.testing
from torch import nn

from genotypes.types.choices import ChoicesGenotype
from supernet import architectures
from supernet.errors import SpaceError
from supernet.layer_choice import ChosenInputs, InputChoice, LayerChoice, choices
from supernet.spaces.modules import ModuleSpace


def conv(kernel):
    return nn.Sequential(nn.Conv2d(3, 4, kernel, padding=kernel // 2), nn.BatchNorm2d(4))


class Zero(nn.Module):
    def forward(self, x):
        return x * 0


class Net(nn.Module):
    """Nested choices, a label used twice, inputs chosen."""

    def __init__(self):
        super().__init__()
        activation = LayerChoice({"tanh": nn.Tanh(), "relu": nn.ReLU()}, "activation")
        self.kernel = LayerChoice({"3x3": conv(3), "5x5": nn.Sequential(conv(5), activation)}, "kernel")
        self.first = LayerChoice({"identity": nn.Identity(), "conv": nn.Conv2d(4, 4, 1), "zero": Zero()}, "shared")
        self.second = LayerChoice({"identity": nn.Identity(), "conv": nn.Conv2d(4, 4, 1), "zero": Zero()}, "shared")
        self.join = InputChoice(["a", "b", "c"], "join", keep=2)
        self.classifier = nn.Linear(4, 5)

    def forward(self, x):
        a = self.kernel(x)
        b = self.first(a)
        c = self.second(b)
        return self.classifier(self.join(a, b, c).mean((2, 3)))


GENOTYPES = [
    ChoicesGenotype({"kernel": ["5x5"], "activation": ["relu"], "shared": ["conv"], "join": ["a", "c"]}),
    ChoicesGenotype({"kernel": ["3x3"], "shared": ["zero"], "join": ["b", "c"]}),
    ChoicesGenotype({"kernel": ["3x3"], "shared": ["identity"], "join": ["a", "b"]}),
]


def space_of(model=None):
    torch.manual_seed(0)
    return ModuleSpace((model or Net()).double())


def one_hot(space, genotype):
    return architectures.one_hot(space.tables, space.picks(genotype), torch.float64)


@pytest.mark.parametrize("genotype", GENOTYPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_equals_the_supernet_under_one_hot_gates(genotype, training):
    space, x = space_of(), torch.randn(4, 3, 6, 6, dtype=torch.float64)
    supernet = space.supernet()
    for p in supernet.parameters():
        p.data.normal_(std=0.3)
    supernet(x, one_hot(space, genotype))  # moves the running statistics
    network = space.network(genotype, searched=True)
    assert not list(choices(network))
    space.inherit(network, supernet, genotype)
    supernet.train(training), network.train(training)
    torch.testing.assert_close(network(x), supernet(x, one_hot(space, genotype)), rtol=0, atol=1e-12)


def test_what_is_derived_leaves_out_what_is_not_reached():
    space = space_of()
    picks = {"kernel": ((0, "3x3"),), "activation": ((0, "tanh"),), "shared": ((0, "conv"),)}
    genotype = space.derive({**picks, "join": ((0, "c"), (0, "a"))})
    assert genotype == ChoicesGenotype({"kernel": ["3x3"], "shared": ["conv"], "join": ["c", "a"]})
    assert isinstance(space.network(genotype).join, ChosenInputs)
    assert space.figures(genotype)["parameters"] == 3 * 4 * 9 + 4 + 8 + 2 * 20 + 25


def test_one_hot_gates_cost_the_chosen_path():
    """Candidates whose gate is 0 are not called; nor do their gates and weights get a gradient."""
    space = space_of()
    supernet = space.supernet()
    called = []
    for name, module in supernet.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    gates = {label: gate.requires_grad_() for label, gate in one_hot(space, GENOTYPES[2]).items()}
    supernet(torch.randn(2, 3, 6, 6, dtype=torch.float64), gates).sum().backward()
    assert called == ["model.kernel.candidates.0.0"]
    assert gates["kernel"].grad[0, 1] == 0 and gates["kernel"].grad[0, 0] != 0
    assert gates["activation"].grad is None


def test_gates_have_the_numeric_gradient():
    space = space_of()
    supernet, x = space.supernet().eval(), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    labels = [table.label for table in space.tables]
    gates = [torch.rand(1, len(t.candidates), dtype=torch.float64, requires_grad=True) for t in space.tables]
    torch.autograd.gradcheck(lambda *g: supernet(x, dict(zip(labels, g))), gates)


def test_the_model_itself_is_not_changed_and_runs_without_gates():
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    space, x = ModuleSpace(model), torch.randn(2, 3, 6, 6)
    space.check(lambda model: model(x))
    space.network(GENOTYPES[0])
    assert model(x).shape == (2, 5) and len(list(choices(model))) == 5
    assert all(
        torch.equal(before[n], t) for n, t in model.state_dict().items() if "running" not in n and "num" not in n
    )


def test_compiled_without_recompiling_when_gates_change():
    space, x = space_of(), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    supernet, counter = space.supernet(), torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(supernet, backend=counter, fullgraph=True)
    for seed, genotype in enumerate([None, *GENOTYPES, None]):
        torch.manual_seed(seed)
        drawn = {t.label: torch.rand(1, len(t.candidates), dtype=torch.float64) for t in space.tables}
        gates = {
            label: gate.requires_grad_() for label, gate in (one_hot(space, genotype) if genotype else drawn).items()
        }
        torch.testing.assert_close(compiled(x, gates), supernet(x, gates))
    assert counter.frame_count == 1


class Unequal(nn.Module):
    def __init__(self):
        super().__init__()
        self.choice = LayerChoice({"same": nn.Conv2d(3, 4, 3, padding=1), "smaller": nn.Conv2d(3, 4, 3)}, "kernel")

    def forward(self, x):
        return self.choice(x)


class Unreached(Net):
    def forward(self, x):
        return self.kernel(x)


class Renamed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = LayerChoice({"x": nn.ReLU(), "y": nn.Tanh()}, "same")
        self.b = LayerChoice({"x": nn.ReLU(), "z": nn.Tanh()}, "same")


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = LayerChoice({"x": nn.Linear(7, 7)}, "layer")

    def forward(self, x):
        return self.a(x)


def checked(model, *shape):
    ModuleSpace(model).check(lambda copied: copied(torch.ones(shape)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: checked(Unequal(), 2, 3, 8, 8),
            r"\(2, 4, 8, 8\), 'smaller' gives \(2, 4, 6, 6\)",
        ),
        (
            lambda: checked(Unreached(), 2, 3, 8, 8),
            "LayerChoice 'shared' .* never reached",
        ),
        (
            lambda: checked(Failing(), 2, 3),
            r"fails on a batch: RuntimeError: .*mat1 and mat2",
        ),
        (lambda: ModuleSpace(Renamed()), r"label 'same' is used for two different decisions: .*x, y.*x, z"),
        (lambda: ModuleSpace(nn.Linear(2, 2)), "holds no LayerChoice"),
        (lambda: InputChoice(2, "join", keep=3), "keep is 3, of 2 inputs"),
        (lambda: InputChoice(2, "join")(torch.ones(1)), "1 inputs given, 2 declared"),
        (lambda: LayerChoice([], "none"), "has no candidates"),
        (lambda: space_of().network(ChoicesGenotype({"kernel": ["3x3"]})), "does not decide 'shared'"),
        (lambda: space_of().network(ChoicesGenotype({**dict(GENOTYPES[1].picks), "kernel": ["7x7"]})), "found '7x7'"),
        (lambda: space_of().network(GENOTYPES[1], auxiliary=True), "no auxiliary head"),
    ],
)
def test_wrong_use_is_one_line(wrong, message):
    with pytest.raises(SpaceError, match=message) as error:
        wrong()
    assert "\n" not in str(error.value)
