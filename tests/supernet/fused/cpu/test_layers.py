"""The layers by C++ functions equal PyTorch's: values, gradients, running statistics; whatever the shapes."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from supernet.fused.availability import fuse_layers
from supernet.fused.cpu import library
from supernet.mixed.graph import MixedGraph
from supernet.ops import BatchNorm, DilConv, FactorizedReduce, ReLUConvBN, SepConv
from tests.supernet.fused.cpu.layers import assert_equal, differentiated

CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(library.reason() is not None, reason="needs a C++ compiler")


@st.composite
def layers(draw):
    k, c, affine = draw(st.integers(1, 40)), draw(st.integers(2, 40)), draw(st.booleans())
    kernel, stride = draw(st.sampled_from([3, 5, 7])), draw(st.sampled_from([1, 2]))
    makes = {
        "relu_conv_bn": lambda: ReLUConvBN(k, c, affine),
        "factorized": lambda: FactorizedReduce(k, c, affine),
        "sep": lambda: SepConv(k, kernel, stride, affine),
        "dil": lambda: DilConv(k, kernel, stride, affine),
    }
    return makes[draw(st.sampled_from(sorted(makes)))](), k


@settings(max_examples=80, deadline=None)
@given(layers(), st.integers(1, 20), st.integers(2, 9), st.integers(2, 9), st.booleans(), st.integers(0, 99))
def test_any_layer(made, images, h, w, training, seed):
    layer, channels = made
    if images * -(-h // 2) * -(-w // 2) < 2:
        return  # BatchNorm needs two values
    torch.manual_seed(seed)
    layer = layer.double().train(training)
    for module in layer.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.weight is not None:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    fused = copy.deepcopy(layer)
    fuse_layers(fused, CPU)
    x = torch.randn(images, channels, h, w, dtype=torch.float64)
    assert_equal(differentiated(fused, x), differentiated(layer, x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_are_channels_last_and_inputs_of_any_layout(layout):
    layer = ReLUConvBN(8, 16)
    x = torch.randn(2, 8, 6, 5).to(memory_format=layout)
    expected = layer(x)
    fuse_layers(layer, CPU)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_frozen_weights_get_no_gradient():
    layer = SepConv(8, 3, 1).requires_grad_(False)
    fuse_layers(layer, CPU)
    x = torch.randn(2, 8, 4, 4).requires_grad_()
    layer(x).square().sum().backward()
    assert x.grad.abs().sum() > 0 and all(parameter.grad is None for parameter in layer.parameters())


def test_they_are_differentiable_once():
    layer = ReLUConvBN(4, 8)
    fuse_layers(layer, CPU)
    x = torch.randn(2, 4, 3, 3).requires_grad_()
    (grad,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_other_types_and_kernels_are_pytorchs():
    x = torch.randn(2, 4, 9, 9)
    for layer in (ReLUConvBN(4, 8), SepConv(4, 3, 1), FactorizedReduce(4, 8)):
        plain = copy.deepcopy(layer)
        fuse_layers(layer, CPU)
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(x)
            assert torch.equal(found, plain(x)) and found.dtype == torch.bfloat16
        with pytest.raises(RuntimeError, match="type"):  # as PyTorch says it
            layer(x.double())
        assert torch.equal(layer.bfloat16()(x.bfloat16()), plain.bfloat16()(x.bfloat16()))
    large = SepConv(4, 9, 1)
    expected = copy.deepcopy(large)(x)
    fuse_layers(large, CPU)
    assert torch.equal(large(x), expected)


def test_statistics_are_those_of_the_forward_pass():
    layer, x = SepConv(4, 3, 1), torch.randn(2, 4, 5, 5).requires_grad_()
    fuse_layers(layer, CPU)
    (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
    loss = layer(x).square().sum()
    layer.eval()
    torch.testing.assert_close(torch.autograd.grad(loss, x)[0], expected)


def test_candidates_of_mixed_graphs_are_left_to_them():
    graph = MixedGraph(4, ("skip_connect", "sep_conv_3x3"), 1, 1, stride=2)
    fuse_layers(graph, CPU)
    assert all(getattr(module, "kernels", None) is None for module in graph.modules())


def test_a_compiled_network_is_traced_through_pytorchs_operations():
    network = nn.Sequential(ReLUConvBN(4, 8), SepConv(8, 3, 1), FactorizedReduce(8, 8))
    x = torch.randn(2, 4, 6, 6)
    expected = network(x)
    fuse_layers(network, CPU)
    torch.testing.assert_close(torch.compile(network, backend="eager", fullgraph=True)(x), expected)


def test_the_same_bits_for_any_number_of_threads():
    torch.manual_seed(0)
    layer = nn.Sequential(ReLUConvBN(12, 20), SepConv(20, 5, 2), FactorizedReduce(20, 8))
    fuse_layers(layer, CPU)
    x, before, found = torch.randn(67, 12, 19, 17), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(differentiated(copy.deepcopy(layer), x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
