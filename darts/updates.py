"""What moves the logits along their gradient. An update makes an optimizer of tensors, with PyTorch's interface."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Adaptive(Protocol):
    """Adam's settings."""

    lr: float
    betas: tuple[float, float]
    weight_decay: float


class LogitsOptimizer(Protocol):
    """Moves tensors along their ``grad``."""

    def step(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


Update = Callable[[Sequence[Tensor], Adaptive], LogitsOptimizer]
"""(logits, the configuration's settings) -> their optimizer."""


def adam(logits: Sequence[Tensor], settings: Adaptive) -> LogitsOptimizer:
    """Adam with an L2 penalty (DARTS, appendix A.1.1)."""
    return torch.optim.Adam(logits, settings.lr, settings.betas, weight_decay=settings.weight_decay)


UPDATES: dict[str, Update] = {"adam": adam}
