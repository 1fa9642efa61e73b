"""The size of a network: what every other proxy must beat."""

from __future__ import annotations

from torch import nn

from darts.blackbox.proxies.batch import Batch
from supernet.cost.network import count
from supernet.network import count_parameters
from supernet.shapes import ImageShape


def parameters(network: nn.Module, batch: Batch) -> float:
    """Return the number of weights."""
    return float(count_parameters(network))


def multiply_adds(network: nn.Module, batch: Batch) -> float:
    """Return the multiply-adds of convolutions and linear layers for one image."""
    _, channels, size, _ = batch.images.shape
    return float(count(network, ImageShape(channels, size, classes=1)).multiply_adds)
