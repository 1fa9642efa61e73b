"""The latency of a network, measured."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from supernet.shapes import ImageShape

WARM_UP, REPEATS = 3, 20


@torch.no_grad()
def latency_ms(network: nn.Module, shape: ImageShape, device: torch.device, batch: int = 1) -> float:
    """Return the median time of a forward pass in evaluation mode, in milliseconds.

    Args:
        network: on ``device``; it is left in evaluation mode.
        shape: of its images.
        batch: images of a pass.
    """
    network.eval()
    images = shape.example(batch).to(device)
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        begun = time.perf_counter()
        network(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds[WARM_UP:])
