"""The CUDA kernel of gradients through pools and skip connections, as compiled code, against its definition."""

import pytest
import torch
import torch.nn.functional as F

from supernet.fused import naive
from supernet.fused.cuda import library
from supernet.fused.rows import SharedRow

launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
shared = pytest.importorskip("supernet.fused.cuda.shared", reason="Triton is not installed")
table_of = pytest.importorskip("supernet.fused.tables").table_of
work_of = pytest.importorskip("supernet.fused.traffic").work_of

pytestmark = pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")

UNUSED = SharedRow(-1, -1, -1, -1)
EDGES = [
    [SharedRow(1, 0, 1, 0), SharedRow(2, 2, -1, 1), SharedRow(0, -1, 3, -1)],
    [SharedRow(2, -1, 4, 2), SharedRow(3, 5, -1, -1), UNUSED],
]
"""Of two states; node 2 is read for both."""

GATES = torch.tensor([0.5, 0.0, -1.25])


def places_of(x, stride):
    """Where each window's maximum is, 0 to 8, ``(m, c)``."""
    _, at = F.max_pool2d(x.permute(0, 3, 1, 2), 3, stride, 1, return_indices=True)
    row = at // x.shape[2] - torch.arange(at.shape[2])[:, None] * stride + 1
    column = at % x.shape[2] - torch.arange(at.shape[3]) * stride + 1
    return (row * 3 + column).permute(0, 2, 3, 1).flatten(0, 2).to(torch.uint8)


class Case:
    """What the kernel is given, and by the definition in float64, what it should write."""

    def __init__(self, storage, stride, size, channels, count, *, skips, pitch):
        torch.manual_seed(0)
        b, h, w = size
        pixels = b * h * w // stride**2
        self.stride, self.skips = stride, skips
        self.states = [torch.randn(*size, channels).round(decimals=1).to(storage) for _ in range(count)]
        self.where = torch.stack([places_of(x.float(), stride) for x in self.states])
        self.grads = torch.randn(4, pixels, channels).to(storage)
        self.coefficients = torch.randn(3, 6, channels) * torch.tensor([1, 0.3, 0.3])[:, None, None]
        self.rows = [[row if skips else row._replace(gate=-1) for row in own] for own in EDGES[:count]]
        self.before = None
        if pitch:
            self.before = [x[:, channels : 2 * channels] for x in torch.randn(count, b * h * w, pitch).to(storage)]
        self.outs = [torch.full_like(x, torch.nan) for x in self.states]

    def run(self):
        table = table_of([row for own in self.rows for row in own], torch.device("cpu"))
        given = self.states, self.where, self.grads, self.coefficients, GATES, table, self.before, self.outs
        shared.pools_and_skips(*given, self.stride, skips=self.skips)

    def expected(self):
        for number, (x, rows) in enumerate(zip(self.states, self.rows)):
            x, out = x.double(), torch.zeros(x.shape, dtype=torch.float64)
            if self.before is not None:
                out += self.before[number].double().view_as(out)
            own = [row for row in rows if row != UNUSED]
            given = self.coefficients.double(), GATES.double(), own, out.view(-1, x.shape[-1])
            back = naive.shared_gradient(self.grads.double(), naive.pools_forward(x, self.stride), *given)
            yield out + naive.pools_backward(x, back, self.stride)


def check(case):
    exact = [*case.expected()]
    with launches.interpreted(watch=True, shared_bytes=232_448) as executed:
        case.run()
    for found, expected in zip(case.outs, exact, strict=True):
        error, epsilon = (found.double() - expected).abs(), 2**-8 if found.dtype == torch.bfloat16 else 2**-11
        assert error.max() <= 4 * epsilon * expected.abs().max() and error.median() <= epsilon * expected.abs().median()
    (one,) = executed
    return one.launch


@pytest.mark.parametrize("channels, storage", [(16, torch.bfloat16), (32, torch.float16), (64, torch.bfloat16)])
@pytest.mark.parametrize(
    "stride, size, count, skips, pitch",
    [
        (1, (3, 4, 4), 1, True, 0),
        (1, (3, 8, 8), 2, True, 144),
        (1, (1, 32, 16), 2, False, 128),
        (2, (3, 8, 8), 2, False, 0),
        (2, (1, 32, 32), 1, False, 192),
    ],
)
def test_equals_the_definition(channels, storage, stride, size, count, skips, pitch):
    """Of small images several share a block, and of the last tile some do not exist; of large ones some rows do."""
    launch = check(Case(storage, stride, size, channels, count, skips=skips, pitch=pitch))
    constants = dict(launch.definitions)
    assert launch.grid[1:] == (channels // 16, count) and constants["RUN"] == 1
    assert (constants["SIZE_IMAGES"] > 1) == (size[1] < 32)


def test_added_in_place():
    """Of the last tile an image does not exist: for it nothing is read that another block writes."""
    case = Case(torch.bfloat16, 1, (3, 8, 8), 16, 2, skips=True, pitch=48)
    case.outs = [before.contiguous().view(out.shape) for before, out in zip(case.before, case.outs)]
    case.before = [out.view(-1, 16) for out in case.outs]
    assert check(case).grid[0] == 2


@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size, pitch", [((3, 16, 16), 80), ((1, 32, 32), 0), ((5, 8, 4), 32)])
def test_runs_of_windows(storage, size, pitch, monkeypatch):
    """As they are where there are many tiles."""
    monkeypatch.setattr(shared, "ENOUGH", 1)
    launch = check(Case(storage, 1, size, 16, 2, skips=True, pitch=pitch))
    assert dict(launch.definitions)["RUN"] == 2


@pytest.mark.parametrize("stride, size", [(1, (70, 1, 1)), (1, (9, 2, 8)), (2, (40, 2, 2))])
def test_windows_that_lack_both_neighbours(stride, size):
    check(Case(torch.bfloat16, stride, size, 16, 1, skips=stride == 1, pitch=0))


def test_the_gradient_of_a_node_that_both_states_lead_to_is_read_once():
    case = Case(torch.bfloat16, 1, (3, 8, 8), 32, 2, skips=True, pitch=96)
    plane = 3 * 64 * 32 * 2
    assert work_of(check(case)).bytes == 2 * plane + 2 * plane // 2 + 4 * plane + 2 * plane + 2 * plane


def test_what_fits():
    assert all(shared.fits((h, w), stride, 14, 99 * 1024) for h in (4, 64) for w in (4, 64) for stride in (1, 2))
    assert not shared.fits((8, 12), 1, 4, 99 * 1024) and not shared.fits((7, 8), 2, 4, 99 * 1024)
    assert not shared.fits((256, 256), 1, 4, 232_448) and not shared.fits((1, 8), 2, 4, 232_448)
    assert not shared.fits((32, 32), 1, 4, 40 * 1024) and not shared.fits((32, 32), 1, 4, 0)
