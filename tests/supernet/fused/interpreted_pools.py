"""The fused pools equal their definition at any size, for several states at once; ``test_naive`` runs this file."""

import pytest
import torch
import torch.nn.functional as F

from supernet.fused import naive
from supernet.fused.launch import blocks_of, ceil_div
from supernet.fused.rows import ConvRow
from supernet.fused.shared import pools
from supernet.fused.shared.windows import patches_of
from supernet.fused.tables import table_of

SIZES = ((5, 4), (7, 6), (11, 8), (1, 1), (2, 13))


def forward(states, stride, gates=None, table=()):
    """Return pools, places of maxima, and statistics, ``(3, place, c)``, of places that no row writes 9."""
    b, h, w, c = states[0].shape
    pixels, count = b * ceil_div(h, stride) * ceil_div(w, stride), len(states)
    found = states[0].new_full((2 * count, pixels, c), torch.nan)
    where = torch.full((count, pixels, c), 77, dtype=torch.uint8)
    sums = torch.float64 if found.dtype == torch.float64 else torch.float32
    statistics = torch.full((3, 2 * count + 1, c), 9.0, dtype=sums)
    counters = torch.zeros(count * blocks_of(c), dtype=torch.int32)
    rows = table_of(table, torch.device("cpu")) if table else torch.empty(0, 6, dtype=torch.int32)
    gates = torch.ones(1, dtype=sums) if gates is None else gates
    pools.pools_forward(states, found, where, stride, rows, gates, statistics.unbind(), counters, bool(table))
    assert not counters.any()
    return found, where, statistics


def backward(grads, where, before, states, stride):
    outs = [torch.full_like(state, torch.nan) for state in states]
    pools.pools_backward(grads, where, before, outs, stride)
    return torch.stack(outs)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_patches():
    """Of supernets at paper settings; where no number of rows divides a height, single rows."""
    found = [patches_of(64, size, size, c, 1) for c, size in ((16, 32), (32, 16), (64, 8))]
    assert [(one.rows, one.columns, one.count, one.whole) for one in found] == [
        (4, 2, 1024, True), (2, 2, 1024, True), (2, 2, 512, True)
    ]  # fmt: skip
    assert patches_of(64, 32, 32, 16, 2).rows == 8
    odd = patches_of(1, 13, 7, 5, 1), patches_of(1, 7, 7, 16, 1)
    assert [(one.rows, one.columns, one.whole) for one in odd] == [(1, 1, False), (7, 1, False)]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_any_size(size, stride):
    """With ties; with channels that fill no block of them, and with two blocks."""
    torch.manual_seed(0)
    for batch, channels in ((3, 5), (1, 66)):
        x = randn(batch, *size, channels).round()
        found, where, _ = forward([x], stride)
        torch.testing.assert_close(found, naive.pools_forward(x, stride), rtol=1e-12, atol=1e-12)
        grads = randn(*found.shape)
        expected = naive.pools_backward(x, grads, stride)
        torch.testing.assert_close(backward(grads, where, None, [x], stride)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_several_states_at_once(stride):
    """Bit by bit as one by one, statistics too: of patches of the same size, as there are few pixels."""
    torch.manual_seed(1)
    states, gates = list(randn(3, 6, 5, 8, 20) + 1e3), torch.tensor([0.5, 0.0], dtype=torch.float64)
    numbers = (0, 4, 0), (1, 1, 0), (2, 0, 1), (3, 3, 0), (4, 5, 0), (5, 2, 1)  # two gates are 0
    rows = [ConvRow(kind, 0, -1, target, gate, 0) for kind, target, gate in numbers]
    found, where, statistics = forward(states, stride, gates, rows)
    apart = [
        forward([x], stride, gates, [row._replace(kind=row.kind % 2, target=row.kind % 2) for row in own])
        for x, own in zip(states, (rows[:2], rows[2:4], rows[4:]))
    ]
    assert found.equal(torch.cat([one[0] for one in apart])) and where.equal(torch.cat([one[1] for one in apart]))
    for kind, target, gate in numbers:
        expected = apart[kind // 2][2][:, kind % 2] if gate == 0 else torch.full((3, 20), 9.0, dtype=torch.float64)
        assert statistics[:, target].equal(expected)
    assert (statistics[:, 6] == 9).all()
    plane = found[1] - 1e3
    torch.testing.assert_close(statistics[2, 1], plane.var(0), rtol=1e-9, atol=0)
    grads = randn(*found.shape)
    before = [randn(6 * 40, 24)[:, :20] for _ in states]
    together = backward(grads, where, before, states, stride)
    for i, x in enumerate(states):
        one = slice(2 * i, 2 * i + 2)
        assert together[i].equal(backward(grads[one], where[i : i + 1], before[i : i + 1], [x], stride)[0])
        expected = before[i].view(x.shape) + naive.pools_backward(x, grads[one], stride)
        torch.testing.assert_close(together[i], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_places_are_those_of_pytorch(stride):
    """With ties, zeros of both signs, infinities, and with what is not a number."""
    torch.manual_seed(2)
    choice = torch.tensor([0.0, -0.0, 1.0, torch.nan, torch.inf, -torch.inf], dtype=torch.float64)
    for size, kinds in (((9, 12), 6), ((7, 5), 3), ((6, 7), 4), ((4, 4), 6)):
        x = choice[:kinds][torch.randint(kinds, (2, *size, 5))]
        x = torch.where(torch.rand(x.shape) < 0.5, x, choice[-1] if kinds == 6 else choice[0])
        found, where, _ = forward([x], stride)
        image = x.permute(0, 3, 1, 2).contiguous()
        y, at = F.max_pool2d(image, 3, stride, 1, return_indices=True)
        row = at // size[1] - torch.arange(y.shape[2])[:, None] * stride + 1
        column = at % size[1] - torch.arange(y.shape[3]) * stride + 1
        torch.testing.assert_close(found[0], y.permute(0, 2, 3, 1).flatten(0, 2), equal_nan=True, rtol=0, atol=0)
        assert where[0].long().equal((row * 3 + column).permute(0, 2, 3, 1).flatten(0, 2))


@pytest.mark.parametrize("stride", [1, 2])
def test_16_bits(stride):
    """Maxima are exact, averages rounded once; statistics are those of the rounded planes."""
    torch.manual_seed(3)
    x = torch.randn(4, 6, 8, 16).half()
    rows = [ConvRow(kind, 0, -1, kind, 0, 0) for kind in range(2)]
    found, where, statistics = forward([x], stride, None, rows)
    expected = naive.pools_forward(x.double(), stride)
    assert found[0].double().equal(expected[0])
    torch.testing.assert_close(found[1].double(), expected[1], rtol=2**-11, atol=1e-6)
    torch.testing.assert_close(statistics[2, :2].double(), found.double().var(1), rtol=1e-5, atol=0)
    torch.testing.assert_close(statistics[0, :2].double(), found.double().mean(1), rtol=1e-5, atol=1e-6)
    grads = torch.randn(found.shape).half()
    back = naive.pools_backward(x.double(), grads.double(), stride)
    torch.testing.assert_close(backward(grads, where, None, [x], stride)[0].double(), back, rtol=2**-11, atol=1e-5)
