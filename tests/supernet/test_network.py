import pytest
import torch

from genotypes import Cell, CellGenotype, Edge, library_entry, library_names, load
from supernet.network import DropPath, Logits, count_parameters
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace

CIFAR = ImageShape(3, 32, 10)
SHAPES = {
    "cifar_c36_l20_10classes": DARTSSpace(CIFAR, 36, 20),
    "imagenet_c48_l14_1000classes": DARTSSpace(ImageShape(3, 224, 1000), 48, 14),
}


def gates_of(space, dtype=torch.float32):
    return {t.label: torch.full((t.rows, len(t.candidates)), 1 / len(t.candidates), dtype=dtype) for t in space.tables}


def test_supernet_has_the_originals_weights():
    assert count_parameters(DARTSSpace(CIFAR).supernet()) == 1_930_618
    without_none = DARTSSpace(CIFAR, candidates=DARTS_PRIMITIVES[1:])
    assert count_parameters(without_none.supernet()) == 1_930_618


@pytest.mark.parametrize("name", library_names())
def test_derived_networks_have_the_originals_weights(name):
    for setting, expected in library_entry(name)["exact_parameters"].items():
        with torch.device("meta"):
            assert count_parameters(SHAPES[setting].network(load(name), auxiliary=True)) == expected


def test_other_counts_of_the_original():
    v2 = load("DARTS_V2")
    auxiliary = SHAPES["cifar_c36_l20_10classes"].network(v2, auxiliary=True).auxiliary_head
    assert sum(p.numel() for p in auxiliary.parameters()) == 476_426
    assert count_parameters(DARTSSpace(CIFAR, 16, 8).network(v2)) // 1000 == 246
    assert count_parameters(DARTSSpace(ImageShape(3, 32, 100), 36, 20).network(v2)) // 1000 == 3401


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("channels", "size", "classes"), [(1, 8, 10), (1, 28, 10), (3, 32, 100), (4, 21, 2), (3, 96, 5)]
)
def test_any_image_fits(channels, size, classes, layers):
    space = DARTSSpace(ImageShape(channels, size, classes), 4, layers, nodes=2)
    x = torch.randn(2, channels, size, size)
    assert space.supernet()(x, gates_of(space)).shape == (2, classes)
    network = space.network(load("DARTS_V1"), auxiliary=True)
    out = network(x, drop_path=DropPath(0.2, torch.Generator().manual_seed(0)))
    assert isinstance(out, Logits) and out.main.shape == out.auxiliary.shape == (2, classes)
    assert network.eval()(x).shape == (2, classes)


def test_the_network_follows_the_genotype():
    def cell(*nodes, concat):
        return Cell(tuple(tuple(Edge(*edge) for edge in node) for node in nodes), concat)

    many = cell([("sep_conv_7x7", 0), ("conv_7x1_1x7", 1), ("skip_connect", 0)], [("none", 2)], [], concat=(3, 2, 4))
    one = cell([("max_pool_3x3", 1)], concat=(2,))
    network = DARTSSpace(CIFAR, 4, 3).network(CellGenotype(many, one))
    assert [c.inside.width for c in network.cells] == [2, 1, 1]
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_drop_path_is_a_scaled_coin_for_each_sample():
    drop = DropPath(0.25, torch.Generator().manual_seed(0))
    y = drop(torch.ones(4000, 2, 3, 3))
    values = y.flatten(1)
    assert torch.equal(values, values[:, :1].expand_as(values))
    assert set(values[:, 0].tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs((values[:, 0] == 0).float().mean().item() - 0.25) < 0.03


def test_drop_path_spares_identities():
    identity = Cell(((Edge("skip_connect", 0), Edge("skip_connect", 1)),), (2,))
    cells = DARTSSpace(CIFAR, 4, 3).network(CellGenotype(identity, identity)).cells
    always = DropPath(1 - 1e-9, torch.Generator())
    x = torch.randn(2, 8, 8, 8)
    assert torch.equal(cells[0].inside(x, x, None, always), x + x)
    assert not cells[1].inside(x, x, None, always).any()  # at stride 2 a skip is a convolution
    assert cells[1].inside(x, x, None, None).any()
