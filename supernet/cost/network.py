"""The cost of a network: its parameters, and the multiply-adds of its convolutions and linear layers for one image.

Papers compare architectures by these two figures (Liu et al. 2019, tables 1 and 3). Pooling, normalization and sums are
not counted as multiply-adds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from supernet.network import count_parameters
from supernet.shapes import ImageShape


@dataclass(frozen=True)
class Cost:
    """The cost of a network without its auxiliary head.

    Attributes:
        parameters: number of weights.
        multiply_adds: of one image's forward pass.
    """

    parameters: int
    multiply_adds: int


def count(network: nn.Module, shape: ImageShape) -> Cost:
    """Return the cost of a network without computing it: on the meta device, where tensors have shapes but no values.

    Nothing is allocated, and the network is not changed, whatever device it is on.

    Args:
        network: a derived one; called in evaluation mode.
        shape: of its images.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    image = torch.empty(1, shape.channels, shape.size, shape.size, device="meta")
    with _evaluating(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(network, shapes, image)
    return Cost(count_parameters(network), counter.get_total_flops() // 2)


def count_unbuilt(build: Callable[[], nn.Module], shape: ImageShape) -> Cost:
    """Return the cost of the network that ``build`` returns; its weights are never allocated."""
    with torch.device("meta"):
        network = build()
    return count(network, shape)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and afterwards every module's own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
