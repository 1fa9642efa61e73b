"""The compiled pools of several states, interpreted and watched, equal their definition in all storage types."""

import pytest
import torch

from supernet.fused import naive
from supernet.fused.rows import ConvRow

launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
pools = pytest.importorskip("supernet.fused.shared.pools")
blocks_of = pytest.importorskip("supernet.fused.launch").blocks_of
table_of = pytest.importorskip("supernet.fused.tables").table_of

EPSILON = {torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float32: 1e-6}


@pytest.mark.parametrize(
    "storage, stride, size, channels",
    [
        (torch.bfloat16, 1, (8, 8), 64),
        (torch.bfloat16, 2, (9, 7), 20),
        (torch.float16, 1, (7, 5), 1),
        (torch.float32, 2, (6, 8), 72),
    ],
)
def test_several_states(storage, stride, size, channels):
    torch.manual_seed(0)
    states = [torch.randn(2, *size, channels).round(decimals=1).to(storage) for _ in range(2)]
    exact = torch.cat([naive.pools_forward(x.double(), stride) for x in states])
    found = torch.full(exact.shape, torch.nan, dtype=storage)
    where = torch.full((2, *exact.shape[1:]), 77, dtype=torch.uint8)
    rows = table_of([ConvRow(kind, 0, -1, kind, 0, 0) for kind in range(4)], torch.device("cpu"))
    statistics = torch.full((3, 4, channels), torch.nan)
    counters = torch.zeros(2 * blocks_of(channels), dtype=torch.int32)
    grads, given = torch.randn(exact.shape).to(storage), torch.randn(2, 2 * size[0] * size[1], channels + 8).to(storage)
    before, outs = [one[:, :channels] for one in given], [torch.full_like(x, torch.nan) for x in states]
    with launches.interpreted(watch=True):
        pools.pools_forward(states, found, where, stride, rows, torch.ones(1), statistics.unbind(), counters, True)
        pools.pools_backward(grads, where, before, outs, stride)
    assert found[::2].double().equal(exact[::2]) and not counters.any()
    torch.testing.assert_close(found.double(), exact, rtol=EPSILON[storage], atol=1e-6)
    torch.testing.assert_close(statistics[0].double(), found.double().mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(statistics[2].double(), found.double().var(1), rtol=1e-5, atol=0)
    stored, again = where.clone(), torch.full_like(statistics, torch.nan)
    with launches.interpreted():
        pools.pools_forward(states, None, where.fill_(77), stride, rows, torch.ones(1), again.unbind(), counters, True)
    assert where.equal(stored) and again.equal(statistics), "where the pools are not stored"
    for i, out in enumerate(outs):
        back = naive.pools_backward(states[i].double(), grads[2 * i : 2 * i + 2].double(), stride)
        expected = before[i].double().view(out.shape) + back
        torch.testing.assert_close(out.double(), expected, rtol=EPSILON[storage], atol=1e-5)
