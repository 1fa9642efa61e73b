"""First halves of two states in one launch of the CUDA kernels, against a launch for each state; interpreted."""

import pytest
import torch

from supernet.fused.cuda import library
from supernet.fused.rows import ConvRow

launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
convs = pytest.importorskip("supernet.fused.cuda.convs", reason="Triton is not installed")
back = pytest.importorskip("supernet.fused.cuda.convs_backward", reason="Triton is not installed")
dense = pytest.importorskip("supernet.fused.dense", reason="Triton is not installed")
add_parts = pytest.importorskip("supernet.fused.conv_weight_backward").add_parts
work_of = pytest.importorskip("supernet.fused.traffic").work_of

pytestmark = pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")

SIDES, DILATIONS, SLOTS = (3, 5, 3, 3), (1, 2, 2, 1), (3, 1, 2, 1)
"""Of each kind of convolutions: the first two read state 0, the others state 1."""

FIRST = 2
"""The first kind of state 1."""


def kinds_of(channels, first=0, last=4):
    """Some of the kinds, whose weights are always the same."""
    torch.manual_seed(0)
    depthwise = [torch.randn(count, channels, 1, side, side) / side for side, count in zip(SIDES, SLOTS)]
    pointwise = [torch.randn(count, channels, channels, 1, 1) / channels**0.5 for count in SLOTS]
    own = slice(first, last)
    return dense.Kinds(SIDES[own], DILATIONS[own], tuple(depthwise[own]), tuple(pointwise[own]))


def rows_of(first, last):
    """The rows of some of the kinds; planes, gates and gradients are numbered as those of all."""
    every = [(kind, slot) for kind, count in enumerate(SLOTS) for slot in range(count)]
    return [
        ConvRow(kind - first, slot, -1 if kind < FIRST or first else -2, place, place, place)
        for place, (kind, slot) in enumerate(every)
        if first <= kind < last
    ]


class Launches:
    """Forward and backward launches of some rows, and what they write."""

    def __init__(self, channels, stride):
        torch.manual_seed(1)
        count, size = sum(SLOTS), (3, 8, 8)
        self.states = [torch.randn(*size, channels).bfloat16() for _ in range(2)]
        self.pixels, self.stride = 3 * 64 // stride**2, stride
        self.gates = torch.rand(count) + 0.1
        self.gates[1] = self.gates[5] = 0
        self.planes, self.dy = torch.zeros(2, count, self.pixels, channels).bfloat16()
        self.statistics = torch.zeros(3, count, channels)
        self.grads = torch.randn(count, self.pixels, channels).bfloat16()
        self.coefficients = torch.randn(3, count, channels)
        self.outs = [torch.randn(*size, channels).bfloat16() for _ in range(2)]
        self.parts = {}

    def run(self, states, first, last):
        """Launch the rows of some kinds, which read these of the states."""
        rows, kinds = rows_of(first, last), kinds_of(self.planes.shape[2], first, last)
        own, outs = [self.states[i] for i in states], [self.outs[i] for i in states]
        size, given, places = own[0].shape[:3], (rows, kinds, self.gates), [row.target for row in rows]
        counters = torch.zeros(2 * back.BLOCKS, dtype=torch.int32)
        weights, behind = (convs.dense_weights(rows, kinds, own[0], transposed=way) for way in (False, True))
        convs.convs_forward(own, size, self.stride, self.planes, weights, *given, self.statistics.unbind(), counters)
        dy = torch.zeros(len(rows), *self.planes.shape[1:], dtype=self.planes.dtype)
        images = own, self.planes, self.grads, self.coefficients, outs
        back.input_gradient(*images, behind, *given, self.stride, counters[: len(own) * back.BLOCKS], dy)
        self.dy[places] = dy
        parts = back.conv_weight_parts(own, self.planes, dy, *given, self.statistics[:2].unbind(), size, self.stride)
        ((depthwise, pointwise),) = add_parts([parts], self.gates)
        self.parts |= {first + kind: pair for kind, pair in enumerate(zip(depthwise, pointwise))}
        assert not counters.any()


@pytest.mark.parametrize("channels, stride", [(16, 1), (16, 2), (32, 2), (64, 1)])
def test_two_states_in_one_launch(channels, stride):
    together, apart = Launches(channels, stride), Launches(channels, stride)
    with launches.interpreted(watch=True, shared_bytes=232_448) as executed:
        together.run((0, 1), 0, len(SIDES))
    names = [one.name for one in executed]
    assert {names.count(name) for name in ("convs_forward", "state_gradient", "weight_gradients")} == {1}
    with launches.interpreted(watch=True, shared_bytes=232_448) as separately:
        apart.run((0,), 0, FIRST)
        apart.run((1,), FIRST, len(SIDES))
    for name in ("convs_forward", "state_gradient", "weight_gradients"):
        both, *each = (work_of(one.launch) for one in (*executed, *separately) if one.name == name)
        assert both.operations == sum(own.operations for own in each)
    assert together.planes.any() and together.planes.equal(apart.planes) and together.dy.equal(apart.dy)
    torch.testing.assert_close(together.statistics, apart.statistics, rtol=1e-5, atol=1e-5)
    for found, expected, before in zip(together.outs, apart.outs, Launches(channels, stride).outs, strict=True):
        assert not found.equal(before)
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)  # shares are summed in another order
    for kind in range(len(SIDES)):
        for found, expected in zip(together.parts[kind], apart.parts[kind], strict=True):
            assert found.any()
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_rows_of_two_states_are_in_different_groups():
    rows = [ConvRow(0, slot, source, slot, slot, slot) for slot, source in enumerate((-1, -1, -2, -2, -2))]
    assert [group[:2] for group in dense.groups_of(rows, kinds_of(16), 4)] == [(0, 2), (2, 3)]
