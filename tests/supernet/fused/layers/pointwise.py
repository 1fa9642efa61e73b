"""Fused layers of 1x1 convolutions equal PyTorch's; ``test_pointwise`` runs this file with Triton's interpreter."""

import copy

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from supernet.fused.availability import fuse_layers
from supernet.mixed.graph import MixedGraph
from supernet.ops import BatchNorm, FactorizedReduce, ReLUConvBN

CPU = torch.device("cpu")


def differentiated(layer, x):
    """Output, gradients of the input and of the parameters that are not frozen, running statistics afterwards."""
    layer, x = copy.deepcopy(layer), x.clone().requires_grad_()
    y = layer(x)
    loss = (y.double() * torch.cos(torch.arange(y.numel()).double()).view(y.shape)).sum()
    wanted = [x, *(weight for weight in layer.parameters() if weight.requires_grad)]
    return [y, *torch.autograd.grad(loss, wanted), *layer.buffers()]


def made(make, inputs, channels, affine, *, seed=0, dtype=torch.float64):
    """A layer with scale, shift and running statistics of its own."""
    torch.manual_seed(seed)
    layer = make(inputs, channels, affine).to(dtype)
    for module in layer.modules():
        if isinstance(module, BatchNorm):
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.data.uniform_(0.5, 1.5)
    return layer


def fused(layer):
    other = copy.deepcopy(layer)
    fuse_layers(other, CPU)
    return other


def assert_equal(layer, x, tolerance=1e-10):
    for a, b in zip(differentiated(layer, x), differentiated(fused(layer), x), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert (a - b).abs().max() <= tolerance * max(a.abs().max().item(), 1.0), a.shape


@settings(max_examples=12, deadline=None, phases=[Phase.generate])  # the interpreter is too slow to shrink
@given(
    make=st.sampled_from([ReLUConvBN, FactorizedReduce]),
    inputs=st.integers(3, 70),
    channels=st.integers(3, 70),
    affine=st.booleans(),
    training=st.booleans(),
    frozen=st.booleans(),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_layer(make, inputs, channels, affine, training, frozen, batch, size, last, seed):
    layer = made(make, inputs, channels, affine, seed=seed).train(training).requires_grad_(not frozen)
    x = torch.randn(batch, inputs, *size, dtype=torch.float64)
    assert_equal(layer, x.contiguous(memory_format=torch.channels_last) if last else x)


@pytest.mark.parametrize("make, batch", [(ReLUConvBN, 5), (FactorizedReduce, 17)])
def test_many_tiles_splits_and_blocks(make, batch):
    """More splits than are added at once, more channels than a block has, a last tile that is not full."""
    layer = made(make, 18, 34, True)
    assert_equal(layer, torch.randn(batch, 18, 15, 15, dtype=torch.float64).add(0.5))


def test_a_large_mean_loses_no_digits():
    layer = made(ReLUConvBN, 4, 5, False, dtype=torch.float32)
    x = 1000 + torch.randn(8, 4, 9, 9)
    expected = copy.deepcopy(layer).double()(x.double())
    assert (fused(layer)(x) - expected).abs().max() < 2e-2 and expected.std() > 0.9


@pytest.mark.parametrize("storage, tolerance", [(torch.float16, 5e-3), (torch.float32, 1e-5)])
@pytest.mark.parametrize("make", [ReLUConvBN, FactorizedReduce])
def test_storage(make, storage, tolerance):
    """Errors relative to the RMS of the reference in float64. The interpreter cannot multiply bfloat16."""
    layer = made(make, 20, 24, True, dtype=torch.float32)
    x = torch.randn(2, 20, 9, 8).to(storage)
    found, expected = differentiated(fused(layer), x), differentiated(copy.deepcopy(layer).double(), x.double())
    assert found[0].dtype == found[1].dtype == storage
    for a, b in zip(found, expected, strict=True):
        assert (a.double() - b).square().mean().sqrt() <= tolerance * b.square().mean().sqrt(), a.shape
    assert all(a.equal(b) for a, b in zip(found, differentiated(fused(layer), x)))


def test_unwanted_gradients_are_not_computed():
    from supernet.fused.handling import handled
    from supernet.fused.launch import kernel_of

    names = []
    wanted = (True, True), (True, False), (False, True), (False, False)
    for channels, image, weights in ((34, True, True), *((6, *each) for each in wanted)):
        layer = fused(made(FactorizedReduce, 5, channels, False).requires_grad_(weights))
        x = torch.randn(2, 5, 4, 4, dtype=torch.float64, requires_grad=image)
        launches = []
        with handled(launches.append):
            y = layer(x)
            if y.requires_grad:
                y.sum().backward()
        names.append([kernel_of(launch).strip("_").removesuffix("_kernel") for launch in launches])
    forward, sums = ["product", "scaled"], ["gradient_sums"]
    assert names == [
        forward + sums + ["image_gradient", "pointwise_gradients"],
        forward + sums + ["pointwise_gradients"],
        forward + sums + ["image_gradient"],
        forward + sums + ["pointwise_gradients"],
        forward,
    ]


def test_where_statistics_are_synchronized_pytorchs_operations_serve():
    class Ranks:
        ranks = 1
        calls = 0

        def __call__(self, x):
            self.calls += 1
            return x

    layer, average = fused(made(ReLUConvBN, 3, 4, False)), Ranks()
    layer.op[2].average = average
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    layer(x)
    assert average.calls == 2
    layer.eval()(x)
    assert average.calls == 2


def test_layers_inside_mixed_graphs_are_left_to_these():
    network = nn.Sequential(MixedGraph(4, ("skip_connect",), 2, 1, 2), ReLUConvBN(4, 4))
    fuse_layers(network, CPU)
    assert [name for name, module in network.named_modules() if getattr(module, "kernels", None)] == ["1"]


def test_compiled_networks_see_one_operator():
    layer = fused(nn.Sequential(made(ReLUConvBN, 4, 6, True), made(FactorizedReduce, 6, 8, False)))
    given = copy.deepcopy(layer), torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    found = [[y := each(x), *torch.autograd.grad(y.square().sum(), each.parameters()), *each.buffers()]
             for each in given]  # fmt: skip
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_fake_tensors():
    layer = made(FactorizedReduce, 4, 6, True)
    weights = [layer.conv_1.weight.detach(), layer.conv_2.weight.detach()]
    norm = [layer.bn.weight.detach(), layer.bn.bias.detach(), layer.bn.running_mean, layer.bn.running_var]
    x = torch.randn(2, 5, 4, 4, dtype=torch.float64)
    operators, checks = torch.ops.supernet, {"test_utils": ("test_schema", "test_faketensor")}
    for training in (True, False):
        torch.library.opcheck(operators.pointwise_plane, (x, weights, *norm[2:], training), **checks)
    kept = operators.pointwise_plane(x, weights, *norm[2:], True)
    torch.library.opcheck(operators.pointwise_layer, (x, weights, *norm[:2], *kept, True), **checks)
    out = operators.pointwise_layer(x, weights, *norm[:2], *kept, True)
    for wanted in ((True, True), (True, False), (False, True)):
        given = out, x, weights, norm[0], *kept, True, *wanted
        torch.library.opcheck(operators.pointwise_layer_backward, given, **checks)
