"""Encoder-decoders for translation: slices of the supernet, causality, padding, the Evolved Transformer."""

import pytest
import torch

from supernet import architectures
from supernet.errors import SpaceError
from supernet.shapes import TranslationShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions
from supernet.spaces.transformer.sizes import fixed
from supernet.spaces.transformer.translation import EVOLVED_TRANSFORMER, TranslationSpace
from supernet.spaces.transformer.translation_layers import LAYERS, Context

SHAPE = TranslationShape(9, 8, 6, 5)
SPACE = TranslationSpace(SHAPE, channels=8)
SOURCE = torch.tensor([[2, 4, 5, 6, 3, 0], [2, 7, 3, 0, 0, 0]])
TARGET = torch.tensor([[2, 4, 5, 6], [2, 7, 0, 0]])


def supernet_of(space):
    """In float64, with biases that are not 0."""
    torch.manual_seed(0)
    supernet = space.supernet().double()
    for weight in supernet.parameters():
        weight.data.add_(0.1 * torch.randn_like(weight))
    return supernet


@pytest.mark.parametrize("seed", range(4))
def test_an_architecture_is_a_slice_of_the_supernet(seed):
    """Number 0 is the Evolved Transformer. Other gates are 0, or too small to count."""
    picks = SPACE.picks(EVOLVED_TRANSFORMER) if seed == 0 else None
    picks = picks or architectures.sample(SPACE, torch.Generator().manual_seed(seed))
    supernet, genotype = supernet_of(SPACE), SPACE.derive(picks)
    assert SPACE.picks(genotype) == picks
    network = SPACE.network(genotype, searched=True).double()
    SPACE.inherit(network, supernet, genotype)
    gates = architectures.one_hot(SPACE.tables, picks, torch.float64)
    for given in (gates, {label: gate + 1e-200 for label, gate in gates.items()}):
        torch.testing.assert_close(supernet(SOURCE, TARGET, given), network(SOURCE, TARGET), rtol=0, atol=1e-12)


def test_the_evolved_transformer_reads_the_source_in_its_order():
    network = SPACE.network(EVOLVED_TRANSFORMER)
    other = SOURCE.clone()
    other[0, 1:4] = other[0, 1:4].flip(0)
    assert not torch.allclose(network(other, TARGET)[0], network(SOURCE, TARGET)[0])


def test_later_tokens_and_padding_change_nothing():
    """Of the target, tokens see those before them; of the source, all that is no padding."""
    for seed in range(3):
        picks = architectures.sample(SPACE, torch.Generator().manual_seed(seed))
        network = SPACE.network(SPACE.derive(picks)).double().eval()
        scores = network(SOURCE, TARGET)
        later = TARGET.clone()
        later[0, 2:] = 7
        torch.testing.assert_close(network(SOURCE, later)[0, :2], scores[0, :2])
        shorter = network(SOURCE[1:, :3], TARGET[1:])
        torch.testing.assert_close(shorter[0, :2], scores[1, :2])


@pytest.mark.parametrize("name", LAYERS)
def test_a_narrower_layer_is_the_beginning_of_the_wide_one(name):
    layer, x = LAYERS[name](8, 16).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    source = torch.randn(2, 4, 8, dtype=torch.float64) if name.startswith("source") else None
    context = Context(present, source, None if source is None else present[:, :4])
    wide = layer(x, context, fixed(16))
    assert wide.shape == (2, 5, 16)
    torch.testing.assert_close(layer(x, context, fixed(4)), wide[..., :4])
    if source is None:
        there = Context(present, x[:, :4], present[:, :4])
        moved = x.clone()
        moved[:, 3:] += 1
        torch.testing.assert_close(layer(moved, there, fixed(16))[:, :3], layer(x, there, fixed(16))[:, :3])


def test_the_evolved_transformer_has_the_published_blocks():
    """At 512 channels, the widths, heads and norms of the authors' code (tensor2tensor)."""
    space = TranslationSpace(SHAPE, channels=512)
    with torch.device("meta"):
        network = space.network(EVOLVED_TRANSFORMER)
    encoder, decoder = network.encoder[0], network.decoder[0]
    assert encoder[1].left["dense"].out.out_features == 2048
    assert encoder[1].right["conv_3"].conv.out_channels == 256
    assert encoder[1].post["sep_conv_9"].out.out_features == 256 and encoder[1].between.normalized_shape == (2048,)
    assert decoder[0].left["attention_16"].heads == 16 and decoder[0].right["source_attention_8"].heads == 8
    assert decoder[1].left["sep_conv_11"].out.out_features == 1024
    assert decoder[1].right["sep_conv_7"].out.out_features == 256
    assert decoder[1].between.normalized_shape == (1024,)
    assert decoder[4].between.normalized_shape == (2048,) and decoder[4].own.left.activations[0][0] == "swish"
    assert not hasattr(encoder[3], "between")
    assert [len(network.encoder[0]), len(network.decoder[0])] == [4, 5]


def test_gates_of_every_decision_have_gradients():
    supernet = supernet_of(SPACE)
    gates = {
        t.label: torch.full((1, len(t.candidates)), 0.5, dtype=torch.float64, requires_grad=True) for t in SPACE.tables
    }
    score = supernet(SOURCE, TARGET, gates).square().sum()
    for label, gradient in zip(gates, torch.autograd.grad(score, list(gates.values()))):
        assert gradient.abs().sum() > 0, label


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 7}, "`space.channels` is 7; positions are pairs"),
        ({"partial": 2}, "partial channels do not apply to networks for translation"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(SpaceError, match=message):
        SPACES["translation"].make(SpaceOptions(SHAPE, **options))
