"""Gradients have the strides of their parameters, which fused optimizers require."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from darts.config import WeightsConfig
from darts.training.microbatch import BatchPartition, laid_out_as
from darts.training.weights_optimizer import weights_optimizer
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace


def strides(tensor):
    """Strides of all axes that are longer than 1."""
    return [stride for size, stride in zip(tensor.shape, tensor.stride()) if size > 1]


@pytest.mark.parametrize("backend", ["reference", "batched"])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_gradients_of_a_supernet_are_laid_out_as_its_parameters(backend, micro_batches, monkeypatch):
    """Images are channels-last, and so is the gradient of the stem's convolution; ``fused`` has a test of its own."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # autocast knows no device "meta"
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: nullcontext())
    space = DARTSSpace(ImageShape(3, 8, 10), channels=4, layers=3, nodes=2)
    network = space.supernet(backend).to("meta")
    images = torch.empty(4, 3, 8, 8, device="meta").to(memory_format=torch.channels_last)
    known = "cpu" if backend == "reference" else "meta"  # it looks which gates are 0
    gates = {t.label: torch.ones(t.rows, len(t.candidates), device=known) for t in space.tables}

    def loss(batch):
        value = F.cross_entropy(network(batch[0], gates), batch[1])
        return value, value, {}

    BatchPartition(micro_batches=micro_batches).backward(
        network, loss, (images, torch.empty(4, dtype=torch.int64, device="meta"))
    )
    for name, parameter in network.named_parameters():
        assert strides(parameter.grad) == strides(parameter), name


def test_a_gradient_keeps_its_values():
    parameter, grad = torch.zeros(2, 3, 2, 2), torch.randn(2, 3, 2, 2).to(memory_format=torch.channels_last)
    found = laid_out_as(parameter, grad)
    assert found.equal(grad) and found.stride() == parameter.stride()
    same = torch.randn(2, 3, 2, 2)
    assert laid_out_as(parameter, same) is same


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_step_updates_the_weights_that_the_gradient_is_of(optimizer):
    """Of a convolution that reads channels-last images, as by an optimizer that is not fused."""
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 4, 3)
    expected = torch.nn.Conv2d(3, 4, 3)
    expected.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last)

    def loss(batch):
        value = network(batch[0]).square().mean()
        return value, value, {}

    BatchPartition().backward(network, loss, (images, torch.zeros(2)))
    weights_optimizer(network, WeightsConfig(optimizer=optimizer, lr=0.1)).step()
    expected(images.contiguous()).square().mean().backward()
    settings = WeightsConfig()
    if optimizer == "adamw":
        reference = torch.optim.AdamW(
            expected.parameters(),
            0.1,
            betas=(settings.momentum, 0.999),
            weight_decay=settings.weight_decay,
            foreach=False,
            fused=False,
        )
    else:
        reference = torch.optim.SGD(expected.parameters(), 0.1, settings.momentum, weight_decay=settings.weight_decay)
    reference.step()
    assert torch.allclose(network.weight, expected.weight, atol=1e-5)
