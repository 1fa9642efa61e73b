"""What moves the logits along their gradient. An update makes an optimizer of tensors, with PyTorch's interface."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from supernet.choice import ChoiceTable


class Adaptive(Protocol):
    """Adam's settings."""

    lr: float
    betas: tuple[float, float]
    weight_decay: float


class LogitsOptimizer(Protocol):
    """Moves tensors along their ``grad``."""

    def step(self) -> None:
        """Move them."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to that state."""


ArchOptimizer = Callable[[Mapping[str, Tensor], tuple[ChoiceTable, ...], Adaptive], LogitsOptimizer]
"""(logits, their tables, the configuration's settings) -> their optimizer."""


def adam(logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], settings: Adaptive) -> LogitsOptimizer:
    """Adam with an L2 penalty (DARTS, appendix A.1.1)."""
    gpu = next(iter(logits.values())).is_cuda  # counts its steps there, so that a CUDA graph can hold it
    decay = settings.weight_decay
    options = dict(weight_decay=decay, fused=gpu, capturable=gpu)
    optimizer = torch.optim.Adam(logits.values(), settings.lr, settings.betas, **options)
    optimizer._warned_capturable_if_run_uncaptured = True  # its first steps are not captured, and meant to be so
    return optimizer


def identity(logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], settings: Adaptive) -> LogitsOptimizer:
    """The logits minus what the step returns, for steps that are a move rather than a gradient."""
    return torch.optim.SGD(logits.values(), lr=1.0)


def sgd(logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], settings: Adaptive) -> LogitsOptimizer:
    """SGD with the learning rate of the settings, without momentum and L2 penalty, as SNAS's code on one GPU."""
    return torch.optim.SGD(logits.values(), lr=settings.lr)


ARCH_OPTIMIZERS: dict[str, ArchOptimizer] = {"adam": adam, "identity": identity, "sgd": sgd}
