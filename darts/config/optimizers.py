"""The optimizers: SGD or AdamW and its learning rate schedule for the weights, Adam for the architecture's logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from darts.config.ranges import BELOW_1, NOT_NEGATIVE, POSITIVE


@dataclass(frozen=True)
class WeightsConfig:
    """The optimizer of the network's weights."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum; or AdamW, by which transformers are trained, with decoupled weight decay."""
    lr: Annotated[float, POSITIVE] = 0.025
    """Learning rate of the first epoch."""
    lr_min: Annotated[float, NOT_NEGATIVE] = 0.001
    """Learning rate at the end of a cosine schedule."""
    schedule: Literal["cosine", "exponential", "linear", "constant"] = "cosine"
    """How the learning rate falls from epoch to epoch."""
    gamma: Annotated[float, NOT_NEGATIVE] = 0.97
    """Factor of an epoch in the exponential schedule."""
    warmup: Annotated[int, NOT_NEGATIVE] = 0
    """Warm-up: epochs over which the learning rate rises linearly."""
    horizon: Annotated[int | None, POSITIVE] = None
    """Epochs that the schedule is made for, where the run is cut short; by default the run's."""
    momentum: Annotated[float, BELOW_1] = 0.9
    """Momentum; of AdamW the decay rate of the running mean of gradients."""
    nesterov: bool = False
    """Nesterov momentum."""
    weight_decay: Annotated[float, NOT_NEGATIVE] = 3e-4
    """Weight decay (L2 penalty)."""
    clip: Annotated[float, POSITIVE] = 5.0
    """Gradient clipping: the largest norm of the gradient of all weights."""

    def learning_rate(self, epoch: int, epochs: int) -> float:
        """Return the learning rate of an epoch, counted from 0, of a run of ``epochs``."""
        epochs = self.horizon or epochs
        if self.schedule == "cosine":
            rate = self.lr_min + (self.lr - self.lr_min) * (1 + math.cos(math.pi * epoch / epochs)) / 2
        elif self.schedule == "exponential":
            rate = self.lr * self.gamma**epoch
        elif self.schedule == "linear":
            rate = self.lr * (1 - epoch / epochs)
        else:
            rate = self.lr
        return rate * min(1.0, (epoch + 1) / self.warmup) if self.warmup else rate


@dataclass(frozen=True)
class LogitsConfig:
    """Adam for the architecture's logits."""

    lr: Annotated[float, NOT_NEGATIVE] = 3e-4
    """Learning rate."""
    betas: Annotated[tuple[float, float], BELOW_1] = (0.5, 0.999)
    """Decay rates of Adam's two running means."""
    weight_decay: Annotated[float, NOT_NEGATIVE] = 1e-3
    """Weight decay (L2 penalty)."""
    scale: Annotated[float, NOT_NEGATIVE] = 1e-3
    """Standard deviation of the initial logits."""
    clip: Annotated[float | None, POSITIVE] = None
    """Gradient clipping: the largest norm of the gradient of all logits; by default no clipping."""
