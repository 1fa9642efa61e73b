import pytest
import torch
import torch.nn.functional as F
from torch import nn

import genotypes.types.cell
from genotypes import CELL_OPS
from genotypes.types.nasbench201 import NASBENCH201_OPS
from supernet import SPACES, architectures
from supernet.ops import OPS, BatchNorm, FactorizedReduce, HalvingConv, Operation, candidate
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.space import SpaceOptions
from tests import tiny
from tests.supernet.every_space import SHAPES


def test_tables_agree():
    assert set(OPS) == {*CELL_OPS, *NASBENCH201_OPS}
    assert CELL_OPS[: len(DARTS_PRIMITIVES)] == DARTS_PRIMITIVES


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (2, 5)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPS)
def test_shapes(name, stride, size):
    x = torch.randn(2, 4, *size)
    expected = (2, 4, *(-(-length // stride) for length in size))
    assert OPS[name].make(4, stride, True).eval()(x).shape == expected
    assert candidate(name, 4, stride).eval()(x).shape == expected


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("sep_conv_3x3", 2 * (16 * 9 + 256)),
        ("sep_conv_5x5", 2 * (16 * 25 + 256)),
        ("sep_conv_7x7", 2 * (16 * 49 + 256)),
        ("dil_conv_3x3", 16 * 9 + 256),
        ("dil_conv_5x5", 16 * 25 + 256),
        ("conv_7x1_1x7", 2 * 7 * 256),
        ("skip_connect", 0),
        ("max_pool_3x3", 0),
    ],
)
def test_convolutions_have_no_bias_and_candidates_no_affine(name, weights):
    assert sum(p.numel() for p in candidate(name, 16, 1).parameters()) == weights


def test_average_pooling_does_not_count_its_padding():
    assert torch.equal(OPS["avg_pool_3x3"].make(1, 1, False)(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_factorized_reduce_reads_every_phase():
    op = FactorizedReduce(1, 2, affine=False).eval()
    torch.nn.init.ones_(op.conv_1.weight)
    torch.nn.init.ones_(op.conv_2.weight)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    y = op(x) * (1 + BatchNorm.eps) ** 0.5
    torch.testing.assert_close(y[0, 0], x[0, 0, ::2, ::2])
    torch.testing.assert_close(y[0, 1], x[0, 0, 1::2, 1::2])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_factorized_reduce_by_phases(layout):
    op = FactorizedReduce(6, 8).double()
    x = torch.randn(3, 6, 8, 10, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    wanted = [x, op.conv_1.weight, op.conv_2.weight]
    expected, found = torch.cat([op.conv_1(x), op.conv_2(x[:, :, 1:, 1:])], 1), op.by_phases(x)
    torch.testing.assert_close(found, expected)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), wanted) for y in (found, expected))):
        torch.testing.assert_close(a, b)


def test_batch_norm_is_the_librarys():
    ours, theirs = BatchNorm(5), torch.nn.BatchNorm2d(5)
    x = torch.randn(3, 5, 4, 4)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
        x = F.relu(x) + 0.3
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(6, 6), (5, 7)])
@pytest.mark.parametrize("channels", [4, 6, 8, 12])
def test_a_halving_convolution_is_the_strided_one(channels, size, layout):
    """In float64, for which the library has no kernel that writes past its buffer."""
    conv = HalvingConv(channels, 6).double()
    x = torch.randn(3, channels, *size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    expected = F.conv2d(x, conv.weight, stride=2)
    actual = conv(x)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    grad = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (x, conv.weight), grad)
    for ours, theirs in zip(torch.autograd.grad(actual, (x, conv.weight), grad), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


SPACES_AND_STEMS = {
    **{name: entry.make(SpaceOptions(SHAPES.get(name, ImageShape(3, 32, 4)), channels=4, layers=3))
       for name, entry in SPACES.items()},
    "imagenet": DARTSSpace(ImageShape(3, 96, 4), 4, 3),
    "imagenet_wide": DARTSSpace(ImageShape(3, 96, 4), 4, 3, stem="imagenet_wide"),
}  # fmt: skip


@pytest.mark.parametrize("space", SPACES_AND_STEMS.values(), ids=SPACES_AND_STEMS)
def test_no_network_has_another_1x1_convolution_of_stride_2(space):
    """The library's own may write past its buffer on processors with AVX2; see ``HalvingConv``."""
    genotype = space.derive(architectures.sample(space, torch.Generator().manual_seed(0)))
    networks = [space.network(genotype), space.network(genotype, searched=True)]
    networks += [space.supernet()] if space.has_supernet else []
    networks += [OPS[name].make(4, 2, True) for name in OPS]
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and max(module.stride) > 1:
            assert isinstance(module, HalvingConv)


class Ghost(nn.Module):
    """Half of the channels by a convolution, the other half as they are."""

    def __init__(self, channels, stride):
        super().__init__()
        self.stride, self.half = stride, channels // 2
        self.conv = nn.Conv2d(self.half, self.half, 3, stride, 1, bias=False)

    def forward(self, x):
        kept = x[:, self.half :, :: self.stride, :: self.stride]
        return torch.cat([self.conv(x[:, : self.half]), kept], 1)


def test_an_operation_is_added_in_three_places(monkeypatch):
    """Its row, its name in genotypes, and the candidates of a space; then it is searched, derived and trained."""
    monkeypatch.setitem(OPS, "ghost", Operation(lambda c, stride, affine: Ghost(c, stride), norm_in_supernet=True))
    monkeypatch.setattr(genotypes.types.cell, "CELL_OPS", (*CELL_OPS, "ghost"))

    def make(options):
        size = options.channels, options.layers, options.own.nodes
        return DARTSSpace(options.shape, *size, candidates=("none", "ghost"))

    task = tiny.search(tiny.config(channels=4), make=make)
    task.begin_epoch(0, 0)
    assert torch.isfinite(task.step()["loss"])
    genotype = task.genotype()
    assert {edge.op for cell in (genotype.normal, genotype.reduce) for node in cell.nodes for edge in node} == {"ghost"}
    network = task.space.network(genotype)
    assert any(isinstance(module, Ghost) for module in network.modules())
    assert torch.isfinite(network(torch.randn(2, 1, 8, 8))).all()
