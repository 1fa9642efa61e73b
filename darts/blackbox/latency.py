"""The latency of a network, measured on the device of a search."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from supernet.shapes import Shape

WARM_UP, REPEATS = 3, 20


@torch.no_grad()
def latency_ms(network: nn.Module, shape: Shape, device: torch.device) -> float:
    """Return the median time of a forward pass of one example in evaluation mode, in milliseconds.

    Args:
        network: on ``device``; it is left in evaluation mode.
        shape: of its examples.
    """
    network.eval()
    inputs = [value.to(device) if isinstance(value, torch.Tensor) else value for value in shape.inputs(1)]
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        begun = time.perf_counter()
        network(*inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds[WARM_UP:])
