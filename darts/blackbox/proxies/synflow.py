"""SynFlow: the product of all weights along all paths (Tanaka et al. 2020), as a figure of an architecture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from darts.blackbox.proxies.batch import Batch
from darts.blackbox.proxies.gradients import layer_weights
from supernet.ops import BatchNorm


def synflow(network: nn.Module, batch: Batch) -> float:
    """Return ``log(1 + sum |w dR/dw|)`` where ``R`` is the sum of outputs of an image of ones, with absolute weights.

    BatchNorm is bypassed: its statistics of a batch of one image would remove what flows. Products of dozens of layers
    overflow float32, so the pass is in float64, and the figure its logarithm, which keeps the order. Signs, types and
    BatchNorm are restored, whatever happens. Weights of the layers that ``layer_weights`` names count.
    Of the batch, the shape of an image counts alone.
    """
    with _linear(network):
        ones = torch.ones_like(batch.images[:1], dtype=torch.float64)
        weights = layer_weights(network)
        grads = torch.autograd.grad(network(ones).sum(), weights, allow_unused=True)
        flow = sum(
            float((weight * grad).detach().abs().sum()) for weight, grad in zip(weights, grads) if grad is not None
        )
    return math.log1p(flow)


@contextmanager
def _linear(network: nn.Module) -> Iterator[None]:
    """Give a network absolute weights in float64 and no BatchNorm; afterwards all is as it was."""
    tensors = {
        name: tensor.detach().clone() for name, tensor in [*network.named_parameters(), *network.named_buffers()]
    }
    norms = [module for module in network.modules() if isinstance(module, BatchNorm | _BatchNorm)]
    hooks = [norm.register_forward_hook(lambda module, inputs, output: inputs[0]) for norm in norms]
    modes = {module: module.training for module in network.modules()}
    try:
        network.double().eval()
        with torch.no_grad():
            for weight in network.parameters():
                weight.abs_()
        yield
    finally:
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
                tensor.data = tensors[name]
        for module, training in modes.items():
            module.training = training
