"""Fused layers of 1x1 convolutions: by Triton's interpreter PyTorch's, compiled without races and without spills."""

import copy
from pathlib import Path

import pytest
import torch

from supernet.fused.availability import fuse_layers
from supernet.fused.verification import GRADIENTS, MEDIANS, NODES, median_error, relative_error
from supernet.ops import FactorizedReduce, ReLUConvBN
from tests import interpreter

pytest.importorskip("triton")
resources = pytest.importorskip("supernet.fused.resources")

CASES = [(ReLUConvBN, 48, 16, False), (FactorizedReduce, 64, 32, True)]

WIDE = [(ReLUConvBN, 20, 72, True), (FactorizedReduce, 20, 132, False)]
"""With more output channels of a part than a block has: two launches for the gradients, as in float32."""


def test_interpreted():
    interpreter.passes(Path(__file__).with_name("pointwise.py"))


def differentiated(layer, x):
    x = x.clone().requires_grad_()
    y = layer(x)
    loss = (y.double() * torch.linspace(-1, 1, y.numel(), dtype=torch.float64, device=y.device).view(y.shape)).sum()
    return [y, *torch.autograd.grad(loss, [x, *layer.parameters()]), *layer.buffers()]


def check(found, expected, storage):
    """Errors relative to the RMS of the reference in float64."""
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert relative_error(a, b) <= (GRADIENTS if index else NODES)[storage], (index, a.shape)
        assert median_error(a, b) <= MEDIANS[storage], (index, a.shape)


@pytest.mark.parametrize("make, inputs, channels, affine", [*CASES, *WIDE])
@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float16, torch.float32])
def test_compiled_as_it_is(storage, make, inputs, channels, affine):
    """Interpreted twice: the counters are 0 again, and the bits are the same."""
    from supernet.fused.launch import zero_counters
    from supernet.fused.ptx.launches import interpreted

    torch.manual_seed(0)
    layer = make(inputs, channels, affine)
    x = torch.randn(3, inputs, 9, 7 if make is ReLUConvBN else 8).to(storage)
    torch.utils.deterministic.fill_uninitialized_memory = True  # with NaN, under deterministic algorithms
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        found = []
        for _ in range(2):
            fused = copy.deepcopy(layer)
            with interpreted(watch=True, shared_bytes=0) as executed:
                fuse_layers(fused, torch.device("cpu"))
                found.append(differentiated(fused, x))
    finally:
        torch.use_deterministic_algorithms(False)
    assert [one.name for one in executed] == [
        "product_kernel", "scaled_kernel", "gradient_sums_kernel",
        *["image_gradient_kernel"] * (channels > 64 or storage == torch.float32), "pointwise_gradients_kernel",
    ]  # fmt: skip
    assert not any(zero_counters(torch.device("cpu"), number).any() for number in range(1, 9))
    assert all(a.equal(b) for a, b in zip(*found, strict=True))
    check(found[0], differentiated(copy.deepcopy(layer).double(), x.double()), storage)


def test_more_splits_than_are_added_at_once():
    """Both of the last programs for the weights' gradient: of a group, and of all."""
    from supernet.fused.ptx.launches import interpreted

    torch.manual_seed(0)
    layer, x = ReLUConvBN(3, 5), torch.randn(6, 3, 16, 15).bfloat16()
    exact = copy.deepcopy(layer).double()
    with interpreted(watch=True, shared_bytes=0) as executed:
        fuse_layers(layer, torch.device("cpu"))
        found = differentiated(layer, x)
    assert executed[-1].launch.grid == (23, 1)
    check(found, differentiated(exact, x.double()), torch.bfloat16)


@pytest.mark.parametrize("arch, inputs, channels, stride, size", [
    (90, 48, 16, 1, 32), (90, 64, 32, 2, 32), (90, 256, 64, 1, 8), (80, 576, 144, 1, 8), (80, 144, 144, 2, 16),
])  # fmt: skip
@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float32])
def test_nothing_spills(storage, arch, inputs, channels, stride, size):
    given = inputs, channels, stride
    launches = resources.record_layer(*given, size=size, dtype=storage, affine=arch == 80)
    assert len(launches) == (4 if storage != torch.float32 and channels // stride <= 64 else 5)
    launches += resources.record_layer(*given, size=size, dtype=storage, image=False)[-1:]
    launches += resources.record_layer(*given, size=size, dtype=storage, weights=False)[-1:]
    found = [resources.usage(launch, arch) for launch in launches]
    assert not [usage for usage in found if usage.spilled]
    assert max(usage.shared for usage in found) <= 99 * 1024


def test_launches_of_a_pass():
    def count(**wanted):
        return len(resources.record_layer(64, 32, 2, **wanted))

    assert (count(), count(weights=False), count(image=False), count(image=False, weights=False)) == (4, 4, 4, 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("storage", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [ReLUConvBN, FactorizedReduce])
@pytest.mark.parametrize("inputs, channels, size", [(48, 16, (32, 32)), (64, 32, (33, 31)), (256, 64, (8, 8)),
                                                    (70, 34, (5, 9)), (576, 144, (8, 8))])  # fmt: skip
def test_on_a_gpu(storage, make, inputs, channels, size):
    """The same bits twice."""
    torch.manual_seed(0)
    layer = make(inputs, channels).cuda()
    exact = copy.deepcopy(layer).double()
    fuse_layers(layer, torch.device("cuda"))
    x = torch.randn(64, inputs, *size, device="cuda").to(storage)
    found = [differentiated(copy.deepcopy(layer), x) for _ in range(2)]
    assert all(a.equal(b) for a, b in zip(*found, strict=True))
    check(found[0], differentiated(exact, x.double()), storage)
