"""Proxies of a network's activations: which units are active (NWOT), and how an output moves with its input (Zen)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from darts.blackbox.proxies.batch import Batch
from supernet.ops import BatchNorm

RELUS = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)
"""ReLU as the operators see it, whether a module or a function called it, in place or not."""

SHIFT = 0.01
"""Zen's ``alpha``: how far the inputs are moved."""


class _Rectified(TorchDispatchMode):
    """Notes which units each ReLU leaves active: the kernel ``(b, b)`` of equal bits, summed over all units."""

    def __init__(self, count: int):
        super().__init__()
        self.kernel = torch.zeros(count, count, dtype=torch.float64)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RELUS:
            bits = (args[0] > 0).flatten(1).to(torch.float32)  # which counts exactly, up to 2^24 units
            active, both = bits.sum(1).double(), (bits @ bits.T).double()
            self.kernel = self.kernel.to(bits.device) + 2 * both + bits.shape[1] - active[:, None] - active
        return func(*args, **(kwargs or {}))


def nwot(network: nn.Module, batch: Batch) -> float:
    """Return the log-determinant of the kernel of equal activation bits (Mellor et al. 2021, equation 3).

    An entry of the kernel, ``(b, b)``, counts the units that are both active or both inactive for two images, of every
    ReLU: modules and calls of functions alike, the one in front of the classifier too. A network without any ReLU, or
    one that treats two images alike, has minus infinity; it is returned as the most negative float.
    """
    with torch.no_grad(), _Rectified(len(batch.images)) as rectified:
        network(batch.images)
    sign, value = torch.linalg.slogdet(rectified.kernel)
    found = float(value)
    return found if float(sign) > 0 and math.isfinite(found) else -torch.finfo(torch.float64).max


def zen(network: nn.Module, batch: Batch) -> float:
    """Return the Zen-score (Lin et al. 2021, algorithm 1), on standard normal images of the batch's shape.

    It is ``log mean |f(x) - f(x + alpha e)|`` of the last features before they are pooled, plus the sum over BatchNorm
    layers of the logarithm of the standard deviation that each divides by. Weights of convolutions and linear layers
    are drawn from the standard normal distribution. The paper removes shortcuts; here the architecture keeps its skip
    connections, which are part of what is searched.
    """
    images, generator = batch.images, batch.generator
    kept = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    features: list[Tensor] = []
    deviations: list[float] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] * output.shape[-2] > 1:
            features.append(output)

    def measure(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        variance = inputs[0].var((0, *range(2, inputs[0].ndim)), unbiased=False)
        deviations.append(0.5 * math.log(float(variance.mean()) + BatchNorm.eps))

    norms = [module for module in network.modules() if isinstance(module, BatchNorm | _BatchNorm)]
    hooks = [module.register_forward_hook(note) for module in network.modules()]
    measures = [norm.register_forward_hook(measure) for norm in norms]
    try:
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                    module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
            x = torch.randn(images.shape, generator=generator).to(images)
            network(x)
            first, compensation = features[-1] if features else x, sum(deviations)
            features.clear()
            for hook in measures:
                hook.remove()
            network(x + SHIFT * torch.randn(images.shape, generator=generator).to(images))
            second = features[-1] if features else x
    finally:
        for hook in [*hooks, *measures]:
            hook.remove()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(kept[name])
    difference = float((first - second).abs().mean())
    return (math.log(difference) if difference > 0 else -torch.finfo(torch.float64).max) + compensation
