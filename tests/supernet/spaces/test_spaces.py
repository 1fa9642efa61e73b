"""Every space that is made of mixed graphs: backends agree; a network that inherits equals its one-hot supernet."""

import random

import pytest
import torch

from darts.bilevel.discretization import top_edges
from supernet import architectures
from supernet.errors import SpaceError
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.modules import refuse
from supernet.spaces.nasbench201 import NASBench201Space
from supernet.spaces.space import SpaceOptions
from tests.supernet.every_space import SHAPES

IMAGES = ImageShape(3, 12, 4)
GRAPHS = {"darts": DARTSSpace(IMAGES, 4, 3, 3), "nasbench201": NASBench201Space(IMAGES, 4, 1)}


def twins(space):
    """The same supernet by both backends, in float64."""
    made = []
    for backend in ("reference", "batched"):
        torch.manual_seed(0)
        made.append(space.supernet(backend).double())
    return made


def drawn(space, seed, hot):
    """Random gates, or one-hot ones of random picks; and the picks."""
    rng, gates, picks = random.Random(seed), {}, {}
    for table in space.tables:
        scores = torch.rand(
            table.rows, len(table.candidates), generator=torch.Generator().manual_seed(rng.randrange(99))
        )
        picks[table.label] = top_edges(scores, table)
        kept = torch.zeros_like(scores)
        for row, name in picks[table.label]:
            kept[row, table.candidates.index(name)] = 1
        gates[table.label] = (kept if hot else scores).double()
    return gates, picks


@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_backends_agree(name, hot):
    space = GRAPHS[name]
    gates, _ = drawn(space, 3, hot)
    x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    found = []
    for supernet in twins(space):
        leaves = {label: gate.clone().requires_grad_() for label, gate in gates.items()}
        scores = supernet(x, leaves)
        wanted = [*leaves.values(), *supernet.parameters()]
        grads = torch.autograd.grad(scores.square().sum(), wanted, materialize_grads=True)
        found.append([scores, *grads, *supernet.buffers(), supernet.eval()(x, leaves)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", GRAPHS)
def test_a_network_that_inherits_equals_the_one_hot_supernet(name, seed):
    space = GRAPHS[name]
    gates, picks = drawn(space, seed, hot=True)
    genotype = space.derive(picks)
    x = torch.randn(4, 3, 12, 12, dtype=torch.float64)
    for supernet in twins(space):
        for p in supernet.parameters():
            p.data.add_(0.1 * torch.randn_like(p))  # biases too, which begin small
        for _ in range(3):
            supernet(x + 0.3, gates)  # moves the running statistics
        network = space.network(genotype, searched=True).double()
        space.inherit(network, supernet, genotype)
        for training in (False, True):
            supernet.train(training), network.train(training)
            torch.testing.assert_close(network(x), supernet(x, gates), rtol=0, atol=1e-10)


def test_what_cannot_be_inherited_is_said():
    small, large = GRAPHS["nasbench201"], NASBench201Space(IMAGES, 8, 1)
    genotype = small.derive(drawn(small, 0, True)[1])
    with pytest.raises(SpaceError, match="inherit at the width, depth and data set of the search"):
        large.inherit(large.network(genotype), small.supernet(), genotype)
    partial = DARTSSpace(IMAGES, 4, 3, 2, partial=2)
    cells = partial.derive(drawn(partial, 0, True)[1])
    with pytest.raises(SpaceError, match="partial channels"):
        partial.inherit(partial.network(cells), partial.supernet(), cells)


@pytest.mark.parametrize("name", SPACES)
def test_every_space_keeps_the_protocol(name):
    """Built from a run's options alone: tables with titles, a supernet, a genotype of the row's type, a network."""
    shape = SHAPES.get(name, IMAGES)
    space = SPACES[name].make(SpaceOptions(shape, channels=4, layers=3))
    assert all(len(space.titles[table.label]) == table.rows for table in space.tables)
    genotype = space.derive(architectures.sample(space, torch.Generator().manual_seed(1)))
    assert type(genotype) is SPACES[name].genotype
    assert all(isinstance(value, int | float) for value in space.figures(genotype).values())
    network = space.network(genotype, searched=True)
    if space.has_supernet:
        space.inherit(network, space.supernet(), genotype)
    else:
        with pytest.raises(SpaceError, match="has no supernet"):
            space.supernet()
        with pytest.raises(SpaceError, match="has no supernet"):
            space.inherit(network, network, genotype)
    assert sum(p.numel() for p in network.parameters()) > 0
    with pytest.raises(SpaceError):
        space.network(object())


@pytest.mark.parametrize(
    ("name", "options", "own", "message"),
    [
        ("darts", {"layers": 2}, {}, "`space.layers` is 2; two cells reduce"),
        ("darts", {}, {"candidates": "s1", "nodes": 3}, "`space.candidates` s1 is made for cells of 4 nodes"),
        ("nasbench201", {}, {"nodes": 3}, "`space.nodes` is 3; NAS-Bench-201's cell has 4 states"),
        ("nasbench201", {}, {"stem": "imagenet"}, "`space.stem` is imagenet; NAS-Bench-201 has auto, cifar, strided"),
        ("nasbench201", {}, {"stages": 4}, "`space.stages` is 4; it must be from 1 to 3"),
        ("darts", {}, {"stages": 2}, "`space.stages` is 2; it does not apply to this space"),
        ("convnet", {}, {"stem": "imagenet"}, "`space.stem` is imagenet; it does not apply to this space"),
        ("convnet", {}, {"nodes": 3}, "`space.nodes` is 3; it does not apply"),
        ("convnet", {"partial": 4}, {}, "partial channels are not for a model of your own"),
        ("recurrent", {"partial": 4}, {}, "partial channels do not apply to a recurrent cell"),
        ("recurrent", {}, {"candidates": "s1"}, "`space.candidates` is s1; it does not apply"),
    ],
)
def test_options_that_do_not_fit(name, options, own, message):
    entry = SPACES[name]
    with pytest.raises(SpaceError, match=message):
        entry.make(SpaceOptions(SHAPES.get(name, IMAGES), own=entry.own_options(own), **options))


def test_options_of_another_space_are_refused():
    """By a space of the table, and by a model of one's own, whose options are those of the default space."""
    with pytest.raises(SpaceError, match="has the options DARTSOptions, not RecurrentOptions"):
        SPACES["darts"].make(SpaceOptions(IMAGES, own=SPACES["recurrent"].own_options({"nodes": 3})))
    with pytest.raises(SpaceError, match="`space.nodes` does not apply to a model of your own"):
        refuse(SpaceOptions(IMAGES, own=SPACES["darts"].own_options({"nodes": 3})))
    refuse(SpaceOptions(IMAGES, own=SPACES["darts"].own_options({})))


@pytest.mark.parametrize("name", SPACES)
def test_options_of_every_space_have_defaults_and_are_documented(name):
    options = SPACES[name].options
    assert options() == SPACES[name].own_options({}, offered={"unknown": 1})
    assert options.__doc__ and not options.__doc__.startswith(options.__name__)
