"""Fused separable convolutions of derived networks: by Triton's interpreter the library's, compiled without spills."""

import copy
from pathlib import Path

import pytest
import torch

from darts.errors import UserError
from darts.training.device import check_fused
from supernet.ops import derived
from tests import interpreter

pytest.importorskip("triton")


def test_interpreted():
    interpreter.passes(Path(__file__).with_name("separable.py"))


def launches_of(channels, side, dilation, stride=1, storage=torch.bfloat16):
    """The launches of a half, forward and backward, on tensors without values."""
    from supernet.fused.launch import recorded
    from supernet.fused.layers.separable import half_backward, half_forward

    with torch.device("meta"):
        x = torch.empty(96, 32, 32, channels, dtype=storage)
        depthwise, pointwise = torch.empty(channels, 1, side, side), torch.empty(channels, channels, 1, 1)
        norm = [torch.empty(channels) for _ in range(4)]
    with recorded() as launches:
        out, plane, mean, rstd, _ = half_forward(x, depthwise, pointwise, *norm, stride, dilation, True)
        half_backward(out, x, depthwise, pointwise, norm[0], plane, mean, rstd, stride, dilation, True)
    return launches


@pytest.mark.parametrize(("arch", "channels", "side", "dilation"), [(90, 36, 7, 1), (80, 144, 5, 1), (90, 72, 3, 2)])
def test_compiled_nothing_spills(arch, channels, side, dilation):
    resources = pytest.importorskip("supernet.fused.resources")
    found = [resources.usage(launch, arch) for launch in launches_of(channels, side, dilation)]
    assert len(found) == 10 and not [usage for usage in found if usage.spilled]
    assert max(usage.shared for usage in found) <= 99 * 1024


def test_where_it_cannot_run_it_is_refused(monkeypatch):
    monkeypatch.setattr("darts.training.device.unavailable", lambda device: "there is no C++ compiler (c++)")
    with pytest.raises(UserError, match=r"--fused cannot be used: there is no C\+\+ compiler \(c\+\+\); leave it out"):
        check_fused(torch.device("cpu"), "--fused")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("storage", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5"])
@pytest.mark.parametrize(("channels", "size", "stride"), [(36, (32, 32), 1), (72, (33, 31), 2), (144, (8, 8), 1)])
def test_on_a_gpu(storage, name, channels, size, stride):
    """Errors relative to the RMS of the reference in float64, for the same rounded input; the same bits twice."""
    from supernet.fused.availability import fuse_layers
    from supernet.fused.verification import GRADIENTS, NODES, relative_error

    torch.manual_seed(0)
    low = derived(name, channels, stride).cuda()
    exact = copy.deepcopy(low).double()
    fuse_layers(low, torch.device("cuda"))
    x = torch.randn(5, channels, *size, device="cuda").to(storage)

    def run(op, x):
        x = x.clone().requires_grad_()
        y = op(x)
        loss = (y.float() * torch.cos(torch.arange(y.numel(), device="cuda")).view(y.shape)).sum()
        return [y, *torch.autograd.grad(loss, [x, *op.parameters()])]

    first, again = run(low, x), run(low, x)
    for index, (a, b, c) in enumerate(zip(run(exact, x.double()), first, again, strict=True)):
        assert b.isfinite().all() and b.equal(c)
        tolerance = GRADIENTS[storage] if index else NODES[storage]
        assert relative_error(b, a) <= tolerance or (a - b).abs().max() < 1e-6, (index, a.shape)
