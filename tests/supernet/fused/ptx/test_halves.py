"""Back to first halves together with second halves' weights, against a launch for each; interpreted."""

import pytest
import torch

from supernet.fused.cuda import library
from supernet.fused.rows import ConvRow

launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
back = pytest.importorskip("supernet.fused.cuda.convs_backward", reason="Triton is not installed")
convs = pytest.importorskip("supernet.fused.cuda.convs", reason="Triton is not installed")
dense = pytest.importorskip("supernet.fused.dense", reason="Triton is not installed")
add_parts = pytest.importorskip("supernet.fused.conv_weight_backward").add_parts

pytestmark = pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")

SIDES, SLOTS, HALVES = (5, 3, 1), (2, 1, 1), 4
"""Of each kind of convolutions; planes 0 to 3 are first halves, 4 to 7 second ones."""


class Back:
    """The launches from the gradients of second halves' planes back, and what they write."""

    def __init__(self, channels, size, storage, dilation):
        torch.manual_seed(0)
        pixels = size[0] * size[1] * size[2]
        depthwise = [torch.randn(count, channels, 1, side, side) / side for side, count in zip(SIDES, SLOTS)]
        pointwise = [torch.randn(count, channels, channels, 1, 1) / channels**0.5 for count in SLOTS]
        self.kinds = dense.Kinds(SIDES, (dilation,) * len(SIDES), tuple(depthwise), tuple(pointwise))
        places = [(kind, slot) for kind, count in enumerate(SLOTS) for slot in range(count)]
        self.rows = [ConvRow(k, slot, place, HALVES + place, place, 0) for place, (k, slot) in enumerate(places)]
        self.size, self.gates = size, torch.tensor([0.3, 0.0, 0.7, 1.0])
        self.planes = torch.randn(2 * HALVES, pixels, channels).to(storage)
        self.planes[[1, HALVES + 1]] = torch.nan  # whose gate is 0
        self.grads = torch.full((1 + HALVES, pixels, channels), torch.nan, dtype=storage)
        self.grads[0] = torch.randn(pixels, channels)
        self.coefficients = torch.randn(3, 2 * HALVES, channels)
        self.coefficients[:, :HALVES] = torch.nan
        self.statistics = torch.randn(2, 2 * HALVES, channels).mul_(0.1).add_(torch.tensor([0.0, 1.0])[:, None, None])

    def run(self, *, joined):
        """Return the gradients behind the first halves, their coefficients, and the weights' gradients."""
        counters, given = torch.zeros(2 * HALVES, dtype=torch.int32), (self.rows, self.kinds, self.gates)
        behind = convs.dense_weights(self.rows, self.kinds, self.planes, transposed=True)
        dy = None if joined else torch.full((HALVES, *self.planes.shape[1:]), torch.nan, dtype=self.planes.dtype)
        before = self.planes, self.grads, self.coefficients, behind, self.statistics.unbind(), 1, *given
        parts = back.half_gradient(*before, self.size, counters, True, dy, joined)
        if dy is not None:
            statistics = self.statistics.unbind()
            parts = back.conv_weight_parts(None, self.planes, dy, *given, statistics, self.size, 1)
        assert not counters.any()
        ((depthwise, pointwise),) = add_parts([parts], self.gates)
        return self.grads[1:], self.coefficients[:, :HALVES], depthwise, pointwise


@pytest.mark.parametrize(
    "channels, size, storage, dilation",
    [
        (16, (2, 32, 32), torch.bfloat16, 1),  # a tile is half of an image
        (16, (11, 8, 8), torch.float16, 1),  # or eight images, of which the last are not there
        (32, (3, 16, 16), torch.bfloat16, 1),
        (32, (5, 8, 8), torch.float16, 2),
    ],
)
def test_equals_a_launch_for_each(channels, size, storage, dilation, monkeypatch):
    monkeypatch.setattr(back, "shares_of", lambda *given: 1)  # a block computes all tiles
    own = channels, size, storage, dilation
    assert back.joins_weights(channels, size, Back(*own).kinds, 232_448)
    with launches.interpreted(watch=True, shared_bytes=232_448) as executed:
        together = Back(*own).run(joined=True)
    assert [one.name for one in executed] == ["dense_weights", "half_gradient", "weight_sums_kernel"]
    with launches.interpreted(watch=True, shared_bytes=232_448):
        apart = Back(*own).run(joined=False)
    live = [0, 2, 3]
    assert together[0][live].equal(apart[0][live]) and together[0][live].isfinite().all()
    torch.testing.assert_close(together[1][:, live], apart[1][:, live], rtol=1e-4, atol=1e-4)
    for found, expected in zip((*together[2], *together[3]), (*apart[2], *apart[3]), strict=True):
        assert found.any() and found.isfinite().all()
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=2e-3 * expected.abs().max().item())


def test_where_the_gradients_of_weights_are_computed_apart():
    kinds = Back(16, (1, 4, 4), torch.bfloat16, 1).kinds
    assert back.joins_weights(16, (64, 32, 32), kinds, 96 * 1024)
    assert not back.joins_weights(16, (64, 32, 32), kinds, 48 * 1024), "no room for a tile"
    assert not back.joins_weights(64, (64, 8, 8), kinds, 228 * 1024), "too many sums"
