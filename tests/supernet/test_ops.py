import pytest
import torch
import torch.nn.functional as F

from genotypes import CELL_OPS
from genotypes.types.nasbench201 import NASBENCH201_OPS
from supernet.ops import OPS, BatchNorm, FactorizedReduce, candidate
from supernet.spaces.darts import DARTS_PRIMITIVES


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


def test_batch_norm_is_the_librarys():
    ours, theirs = BatchNorm(5), torch.nn.BatchNorm2d(5)
    x = torch.randn(3, 5, 4, 4)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
        x = F.relu(x) + 0.3
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x))
