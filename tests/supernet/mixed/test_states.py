import torch

from supernet.mixed.states import States


def test_the_last_states_side_by_side():
    beside = torch.randn(2, 6, 4, 4)
    inputs, nodes = [torch.randn(2, 3, 4, 4) for _ in range(2)], list(beside.split(3, 1))
    kept, apart = States([*inputs, *nodes], beside), States([*inputs, *nodes])
    assert kept.concatenated(2) is beside, "not copied"
    for states in (kept, apart):
        assert states.concatenated(2).equal(beside)
        assert states.concatenated(1).equal(nodes[1])
        assert states.concatenated(3).equal(torch.cat([inputs[1], beside], 1))
