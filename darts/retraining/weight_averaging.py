"""Weights averaged over steps, as soon as validation stops improving (Merity et al. 2018, section 3.1).

The trigger: the validation loss is above the best of more than ``patience`` epochs ago. From then on the running mean
of the weights after each step is what is evaluated and kept, while training continues as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Averaging:
    """The running mean of a network's weights, once it is triggered.

    Args:
        network: whose weights are trained.
        patience: number of the last epochs that are not compared with; None averages never.

    Attributes:
        losses: validation loss of each epoch.
        count: number of steps in the mean; 0 before the trigger.
    """

    def __init__(self, network: nn.Module, patience: int | None):
        self._weights, self._patience = dict(network.named_parameters()), patience
        self._means: dict[str, Tensor] = {}
        self.losses: list[float] = []
        self.count = 0

    def note(self, loss: float) -> None:
        """Record the validation loss of an epoch, and begin to average where it is the trigger."""
        earlier = self.losses[: len(self.losses) - self._patience] if self._patience is not None else []
        if earlier and loss > min(earlier) and not self._means:
            self._means = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.losses.append(loss)

    @torch.no_grad()
    def step(self) -> None:
        """Add the weights after a step to the mean."""
        if self._means:
            self.count += 1
            torch._foreach_lerp_(list(self._means.values()), list(self._weights.values()), 1 / self.count)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averaged weights meanwhile, where there are some."""
        trained = {name: weight.detach().clone() for name, weight in self._weights.items()} if self._means else {}
        self._put(self._means)
        try:
            yield
        finally:
            self._put(trained)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._weights[name].copy_(value)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {"losses": self.losses, "means": self._means, "count": self.count}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to that state."""
        self.losses, self.count = list(state["losses"]), state["count"]
        self._means = {name: mean.to(self._weights[name].device) for name, mean in state["means"].items()}
