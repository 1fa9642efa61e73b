"""The optimizer of a network's weights, SGD with momentum or AdamW, as a configuration describes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darts.config import WeightsConfig


def weights_optimizer(network: nn.Module, config: WeightsConfig) -> torch.optim.Optimizer:
    """Return the optimizer of all parameters of a network, in one group; a fused one, but for SGD on a CPU.

    On a GPU it reads its learning rate from there, so that a captured CUDA graph can change it.
    """
    parameters = list(network.parameters())
    on_gpu = parameters[0].is_cuda
    if config.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters,
            config.lr,
            betas=(config.momentum, 0.999),
            weight_decay=config.weight_decay,
            fused=True,
            capturable=on_gpu,
        )
    return torch.optim.SGD(
        parameters,
        config.lr,
        config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
        fused=on_gpu,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of an optimizer's only group; on a GPU in a tensor that keeps its address."""
    group = optimizer.param_groups[0]
    device = group["params"][0].device
    if device.type != "cuda":
        group["lr"] = rate
    elif isinstance(group["lr"], Tensor) and group["lr"].device == device:
        group["lr"].fill_(rate)
    else:
        group["lr"] = torch.tensor(rate, device=device, dtype=torch.float32)
