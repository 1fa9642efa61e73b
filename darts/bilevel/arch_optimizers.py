"""Architecture optimizers: what moves the logits along their gradient.

An architecture optimizer, a component of a method, makes an optimizer of tensors with the interface of PyTorch's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from darts.bilevel.requirements import Component, Requirements
from supernet.choice import ChoiceTable


class AdamSettings(Protocol):
    """Adam's settings."""

    @property
    def lr(self) -> float:
        """Return the learning rate."""

    @property
    def betas(self) -> tuple[float, float]:
        """Return the decay of the running means."""

    @property
    def weight_decay(self) -> float:
        """Return the factor of the L2 penalty."""


class LogitsOptimizer(Protocol):
    """Moves the logits along their ``grad``."""

    def step(self) -> Any:
        """Move them once."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Return to that state."""


ArchOptimizer = Callable[[Mapping[str, Tensor], tuple[ChoiceTable, ...], AdamSettings], LogitsOptimizer]
"""(logits, their tables, the configuration's settings) -> their optimizer."""


def adam(logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], settings: AdamSettings) -> LogitsOptimizer:
    """Return Adam with an L2 penalty (DARTS, appendix A.1.1)."""
    gpu = next(iter(logits.values())).is_cuda  # counts its steps there, so that a CUDA graph can hold it
    optimizer = torch.optim.Adam(
        logits.values(),
        settings.lr,
        settings.betas,
        weight_decay=settings.weight_decay,
        fused=gpu,
        capturable=gpu,
    )
    # Its first steps run before the capture on purpose, of which PyTorch would warn.
    optimizer._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined]
    return optimizer


def sgd(logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], settings: AdamSettings) -> LogitsOptimizer:
    """Return SGD with the settings' learning rate, without momentum and L2 penalty, as SNAS's code on one GPU."""
    return torch.optim.SGD(logits.values(), lr=settings.lr)


@dataclass(frozen=True)
class Identity(Component):
    """Subtracts from the logits what the step returns: for steps that return a displacement instead of a gradient."""

    def requirements(self) -> Requirements:
        reason = "the architecture optimizer identity takes a displacement of the logits, and a gradient is none"
        return Requirements(frozenset({"takes_displacement"}), requires={"displacement": reason})

    def __call__(
        self, logits: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], settings: AdamSettings
    ) -> LogitsOptimizer:
        return torch.optim.SGD(logits.values(), lr=1.0)
