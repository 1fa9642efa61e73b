"""The recurrent cell: the definition spelt out, both backends, the derived cell under one-hot gates."""

import pytest
import torch

from genotypes import Edge
from genotypes.types.recurrent import RecurrentGenotype
from supernet import architectures
from supernet.errors import SpaceError
from supernet.spaces.recurrent import RECURRENT, Dropouts, RecurrentSpace

SILENT = Dropouts(0.0, 0.0, 0.0, 0.0, 0.0)
SPACE = RecurrentSpace(11, width=6, nodes=4, dropouts=SILENT)
CELL = RecurrentGenotype((Edge("tanh", 0), Edge("relu", 1), Edge("identity", 0), Edge("sigmoid", 2)), (1, 2, 3, 4))


def models(*backends, space=SPACE):
    made = []
    for backend in backends:
        torch.manual_seed(0)
        made.append(space.supernet(backend).double())
        for p in made[-1].parameters():
            p.data.mul_(10)
    return made


def inputs():
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(0, 11, (5, 3), generator=generator)
    return words, torch.randn(3, 6, generator=generator).double()


def one_hot(genotype):
    return architectures.one_hot(SPACE.tables, SPACE.picks(genotype), torch.float64)


def outcome(model, gates, training):
    gates = gates.clone().requires_grad_()
    model.train(training)
    out = model(*inputs(), {RECURRENT: gates})
    grads = torch.autograd.grad(out.scores.square().sum(), [gates, *model.parameters()])
    return [out.scores, out.hidden, *grads, *model.buffers()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("hot", [True, False])
def test_backends_agree(training, hot):
    torch.manual_seed(2)
    gates = one_hot(CELL)[RECURRENT] if hot else torch.randn(10, 5).double().softmax(1)
    for a, b in zip(*(outcome(model, gates, training) for model in models("reference", "batched")), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("backend", ["reference", "batched"])
def test_a_searched_network_equals_the_supernet_under_one_hot_gates(backend, training):
    (supernet,) = models(backend)
    supernet(*inputs(), one_hot(CELL))  # moves the running statistics
    network = SPACE.network(CELL, searched=True).double()
    SPACE.inherit(network, supernet, CELL)
    supernet.train(training), network.train(training)
    torch.testing.assert_close(network(*inputs()).scores, supernet(*inputs(), one_hot(CELL)).scores, rtol=0, atol=1e-12)


def test_the_derived_cell_by_hand():
    network = SPACE.network(CELL).double()
    assert not list(network.buffers()), "no BatchNorm in evaluation"
    words, hidden = inputs()
    cell, h = network.cell, hidden
    for vector in network.embedding[words]:
        c0, h0 = torch.split(torch.cat([vector, h], 1) @ cell.w0, 6, 1)
        states = [h + torch.sigmoid(c0) * (torch.tanh(h0) - h)]
        for w, edge in zip(cell.w, CELL.nodes):
            s = states[edge.source]
            c, z = torch.split(s @ w, 6, 1)
            f = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda x: x}[edge.op]
            states.append(s + torch.sigmoid(c) * (f(z) - s))
        h = sum(states[1:]) / 4
    torch.testing.assert_close(network(words, hidden).hidden, h, rtol=0, atol=1e-13)


def test_masks_are_kept_over_time_and_only_while_training():
    space = RecurrentSpace(11, width=50, nodes=2, dropouts=Dropouts(0.0, 0.0, 0.5, 0.0, 0.0))
    network = space.network(RecurrentGenotype((Edge("tanh", 0), Edge("tanh", 1)), (1, 2)))
    words, hidden = torch.randint(0, 11, (4, 3)), torch.randn(3, 50)
    out = network(words, hidden)
    kept = out.dropped != 0
    assert torch.equal(kept, kept[:1].expand_as(kept)) and 0.3 < kept.float().mean() < 0.7
    assert torch.equal(out.dropped[kept], 2 * out.raw[kept])
    network.eval()
    assert torch.equal(network(words, hidden).scores, network(words, hidden).scores)


def test_size_of_the_published_search_and_evaluation():
    """Penn Treebank has 10,000 words; 850 hidden units make the 23 million weights of Liu et al. 2019, table 2."""
    cell = RecurrentGenotype(tuple(Edge("relu", k) for k in range(8)), tuple(range(1, 9)))
    with torch.device("meta"):
        network = RecurrentSpace(10_000, 850).network(cell)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == 23


def test_derive_and_refuse():
    picks = ((0, "tanh"), (2, "relu"), (3, "identity"), (8, "sigmoid"))
    assert SPACE.derive({RECURRENT: picks}) == CELL
    assert SPACE.figures(CELL) == {"commonest_activation": 1}
    with pytest.raises(SpaceError, match="no auxiliary head"):
        SPACE.network(CELL, auxiliary=True)
