"""Vision transformers: torchvision's network, slices of the supernet, mixtures of sizes, mistakes."""

import pytest
import torch
import torchvision

from genotypes.types.vision_transformer import VIT_B_16, TransformerBlock, VisionTransformerGenotype
from supernet import architectures
from supernet.cost.network import count
from supernet.errors import SpaceError
from supernet.network import count_parameters
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions
from supernet.spaces.transformer.sizes import central, copy_slices, fixed, mixed
from supernet.spaces.transformer.vision_network import (
    Attention,
    Convolution,
    FeedForward,
    network_of,
)

IMAGENET, SMALL = ImageShape(3, 224, 1000), ImageShape(3, 8, 4)


def space_of(shape=SMALL, channels=12, layers=3, **own):
    entry = SPACES["vit"]
    return entry.make(SpaceOptions(shape, channels=channels, layers=layers, own=entry.own_options(own)))


def supernet_of(space):
    """In float64, with biases that are not 0."""
    torch.manual_seed(0)
    supernet = space.supernet().double()
    for weight in supernet.parameters():
        weight.data.add_(0.1 * torch.randn_like(weight))
    return supernet


def test_vit_b_16_has_torchvisions_weights_and_output():
    """86,567,656 weights; at a smaller size, the same logits as torchvision's network with the same weights."""
    with torch.device("meta"):
        cost = count(network_of(VIT_B_16, IMAGENET), IMAGENET)
        theirs = torchvision.models.vit_b_16()
    assert cost.parameters == 86_567_656 == count_parameters(theirs)
    assert cost.multiply_adds == 17_563_828_224
    space = space_of(IMAGENET, 768, 12, patches=(16, 32))
    assert space.derive(space.picks(VIT_B_16)) == VIT_B_16


def test_a_small_network_computes_what_torchvisions_computes():
    genotype = VisionTransformerGenotype(4, 12, 6, (TransformerBlock("attention", 2, 4),) * 2)
    torch.manual_seed(0)
    ours = network_of(genotype, SMALL)
    theirs = torchvision.models.VisionTransformer(
        image_size=8, patch_size=4, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=48, num_classes=4
    ).eval()
    own = ours.state_dict()
    given = {
        "class_token": own["embeddings.4.class_token"][None],
        "encoder.pos_embedding": own["embeddings.4.positions"][None],
        **{f"conv_proj.{kind}": own[f"embeddings.4.patches.{kind}"] for kind in ("weight", "bias")},
        **{f"encoder.ln.{kind}": own[f"classifier.norm.{kind}"] for kind in ("weight", "bias")},
        **{f"heads.head.{kind}": own[f"classifier.linear.{kind}"] for kind in ("weight", "bias")},
    }
    for block in range(2):
        mixer, there = f"blocks.{block}.mixers.attention", f"encoder.layers.encoder_layer_{block}"
        for kind in ("weight", "bias"):
            joined = [own[f"{mixer}.{name}.{kind}"] for name in ("query", "key", "value")]
            given[f"{there}.self_attention.in_proj_{kind}"] = torch.cat(joined)
            given[f"{there}.self_attention.out_proj.{kind}"] = own[f"{mixer}.out.{kind}"]
            given[f"{there}.ln_1.{kind}"] = own[f"{mixer}.norm.{kind}"]
            for layer, name in (("ln_2", "norm"), ("mlp.0", "expand"), ("mlp.3", "out")):
                given[f"{there}.{layer}.{kind}"] = own[f"blocks.{block}.feed_forward.{name}.{kind}"]
    theirs.load_state_dict(given)
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("seed", range(4))
def test_an_architecture_is_a_slice_of_the_supernet(seed):
    """With and without the knowledge that other gates are 0: these then are too small to count."""
    space = space_of()
    supernet, x = supernet_of(space), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    picks = architectures.sample(space, torch.Generator().manual_seed(seed))
    gates = architectures.one_hot(space.tables, picks, torch.float64)
    genotype = space.derive(picks)
    network = space.network(genotype, searched=True).double()
    space.inherit(network, supernet, genotype)
    for given in (gates, {label: gate + 1e-200 for label, gate in gates.items()}):
        torch.testing.assert_close(supernet(x, given), network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("branch", "sizes"), [(Attention(12, 3, 4), (1, 3)), (FeedForward(12, 24), (6, 24))])
def test_a_branch_is_the_sum_of_its_slices_weighted_by_gates(branch, sizes):
    branch, tokens = branch.double(), torch.randn(2, 5, 12, dtype=torch.float64)
    gates = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    each = [branch(tokens, None, fixed(size)) for size in sizes]
    output = branch(tokens, None, mixed(list(zip(sizes, gates))))
    torch.testing.assert_close(output, 0.3 * each[0] + 0.7 * each[1])
    (gradient,) = torch.autograd.grad(output.sum(), gates)
    torch.testing.assert_close(gradient, torch.stack([y.sum() for y in each]))


def test_kernels_are_the_sum_of_their_centres_weighted_by_gates():
    """Before the activation, so that one convolution computes all."""
    weight, gates = torch.randn(12, 1, 5, 5), torch.tensor([0.3, 0.7])
    inner = torch.nn.functional.pad(weight[..., 1:4, 1:4], (1,) * 4)
    torch.testing.assert_close(central(weight, mixed([(5, gates[1]), (3, gates[0])])), 0.3 * inner + 0.7 * weight)
    convolution, tokens = Convolution(12, 5), torch.randn(2, 1 + 16, 12)
    small = Convolution(12, 3)
    copy_slices(small, convolution)
    torch.testing.assert_close(convolution(tokens, None, fixed(3)), small(tokens))


def test_logits_are_the_sum_over_patches_weighted_by_gates():
    space = space_of()
    supernet, x = supernet_of(space), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    gates = architectures.one_hot(
        space.tables, architectures.sample(space, torch.Generator().manual_seed(0)), torch.float64
    )
    each = [supernet(x, {**gates, "patch": row[None]}) for row in torch.eye(2, dtype=torch.float64)]
    both = supernet(x, {**gates, "patch": torch.tensor([[0.3, 0.7]], dtype=torch.float64)})
    torch.testing.assert_close(both, 0.3 * each[0] + 0.7 * each[1])


def test_sizes_above_the_largest_live_one_are_not_computed():
    space = space_of(widths=(4, 12))
    supernet, x = supernet_of(space), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    picks = dict(architectures.sample(space, torch.Generator().manual_seed(1)))
    picks["width"] = ((0, "4"),)
    shapes = []
    for block in supernet.blocks:
        block.feed_forward.register_forward_hook(lambda module, given, output: shapes.append(output.shape[-1]))
    supernet(x, architectures.one_hot(space.tables, picks, torch.float64))
    assert set(shapes) == {4} and len(shapes) == int(picks["depth"][0][1])


def test_gates_of_every_decision_have_gradients():
    space = space_of()
    supernet = supernet_of(space)
    gates = {t.label: torch.full((1, len(t.candidates)), 0.5, requires_grad=True) for t in space.tables}
    score = supernet.float()(torch.randn(2, 3, 8, 8), gates).square().sum()
    for label, gradient in zip(gates, torch.autograd.grad(score, list(gates.values()))):
        assert gradient.abs().min() > 0, label


def test_the_largest_genotype_is_of_the_space_and_the_largest():
    space = space_of()
    most = space.figures(space.largest)["parameters"]
    for seed in range(10):
        genotype = space.derive(architectures.sample(space, torch.Generator().manual_seed(seed)))
        assert space.figures(genotype)["parameters"] <= most
    assert space.valid(space.picks(space.largest)) is None


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"patches": (3,)}, "`space.patches` has 3; images of 8 pixels have patches of 1, 2, 4, 8"),
        ({"widths": (4, 4)}, "`space.widths` is 4 4: give different candidates"),
        ({"kernels": (3, 4)}, "`space.kernels` has 4; it must be of 1, 3, 5"),
    ],
)
def test_candidates_that_cannot_be(own, message):
    with pytest.raises(SpaceError, match=message):
        space_of(**own)


def test_genotypes_of_other_spaces_are_refused():
    space, block = space_of(), TransformerBlock("attention", 3, 4)
    with pytest.raises(SpaceError, match="patch: 3 does not divide images of 8 pixels"):
        space.network(VisionTransformerGenotype(3, 12, 4, (block,)))
    with pytest.raises(SpaceError, match="head_width: 5; this space has 4: set `space.head_width`"):
        space.picks(VisionTransformerGenotype(2, 12, 5, (block,) * 3))
    with pytest.raises(SpaceError, match="width: row 0 has no '13'; it has 6, 9, 12"):
        space.picks(VisionTransformerGenotype(2, 13, 4, (block,) * 3))
    assert space.network(VisionTransformerGenotype(2, 20, 5, (block,))), "a genotype has all sizes"
    with pytest.raises(SpaceError, match="no auxiliary head"):
        space.network(space.largest, auxiliary=True)
