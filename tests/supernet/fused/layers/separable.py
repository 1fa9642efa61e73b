"""Fused separable convolutions equal PyTorch's; ``test_separable`` runs this file with Triton's interpreter."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import genotypes
from darts.config import DataConfig, SpaceConfig
from darts.data.registry import open_data
from darts.recipes.registry import FINAL_RECIPES
from darts.retraining.task import RetrainTask
from supernet.cost.network import count
from supernet.fused.availability import fuse_layers
from supernet.ops import derived
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace

CPU = torch.device("cpu")

SEPARABLE = ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5")


def run(network, x):
    """Result, gradients of input and weights, running statistics; the same in evaluation."""
    network = copy.deepcopy(network)
    found = []
    for training in (True, False):
        network.train(training)
        image = x.clone().requires_grad_()
        y = network(image)
        loss = (y * torch.cos(torch.arange(y.numel()).view(y.shape))).sum()
        found += [y, *torch.autograd.grad(loss, [image, *network.parameters()])]
    return [*found, *network.buffers()]


def assert_equal(network, x, tolerance=1e-9):
    other = copy.deepcopy(network)
    fuse_layers(other, CPU)
    assert list(other.state_dict()) == list(network.state_dict())
    for a, b in zip(run(network, x), run(other, x), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert (a - b).abs().max() <= tolerance * max(a.abs().max().item(), 1.0), a.shape


@settings(max_examples=5, deadline=None, phases=[Phase.generate])  # the interpreter is too slow to shrink
@given(
    name=st.sampled_from(SEPARABLE),
    channels=st.integers(1, 20),
    stride=st.integers(1, 2),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_operation(name, channels, stride, size, last, seed):
    torch.manual_seed(seed)
    op = derived(name, channels, stride).double()
    for tensor in (*op.parameters(), *op.buffers()):
        tensor.data.uniform_(0.2, 1.5)
    x = torch.randn(3 if size[0] * size[1] > 4 else 12, channels, *size, dtype=torch.float64)
    assert_equal(op, x.contiguous(memory_format=torch.channels_last) if last else x)


def test_a_scale_of_zero():
    op = derived("sep_conv_3x3", 4, 1).double()
    op.op[3].weight.data[1:3] = 0.0
    assert_equal(op, torch.randn(2, 4, 5, 5, dtype=torch.float64))


def test_a_derived_network():
    torch.manual_seed(0)
    shape = ImageShape(3, 6, 5)
    network = DARTSSpace(shape, 4, 3).network(genotypes.load("DARTS_V2")).double()
    assert_equal(network, torch.randn(3, 3, 6, 6, dtype=torch.float64))
    other = copy.deepcopy(network)
    fuse_layers(other, CPU)
    assert count(other, shape) == count(network, shape)


def test_retraining_takes_the_same_steps():
    data, losses = open_data(DataConfig("digits", crop_padding=1), torch.device("cpu"), seed=0), []
    for fused in (False, True):
        config = replace(FINAL_RECIPES["digits"](), space=SpaceConfig(2, 1), batch_size=2, fused=fused)
        data.train.generator.manual_seed(0)
        task = RetrainTask(config, genotypes.load("FairDARTS_b"), data, torch.device("cpu"))
        task.begin_epoch(1, 0)
        losses.append([task.step()["loss"].item() for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] != losses[1]


def test_a_compiled_network_holds_it_as_one_operator():
    op = derived("dil_conv_3x3", 4, 1)
    fuse_layers(op, CPU)
    given = copy.deepcopy(op), torch.compile(op, backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 4, 5, 5)
    for a, b in zip(*([y := each(x), *torch.autograd.grad(y.sum(), each.parameters())] for each in given)):
        torch.testing.assert_close(a, b)


def test_fake_tensors():
    op = derived("dil_conv_5x5", 4, 2).op
    weights = op[1].weight, op[2].weight, op[3].weight, op[3].bias
    given = torch.randn(2, 5, 7, 4), *(w.detach() for w in weights), op[3].running_mean, op[3].running_var
    for training in (True, False):
        arguments = *given, 2, 2, training
        torch.library.opcheck(
            torch.ops.supernet.separable_half, arguments, test_utils=("test_schema", "test_faketensor")
        )
