"""The inputs of a user's own network, noted when it is called: costs are counted by them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from darts.data.objective import Call
from darts.errors import UserError


class CallShape:
    """The inputs of one example, as a user's loss calls the network: costs are counted by them.

    Attributes:
        arguments: of the last call that was noted, of one example; None before.
    """

    def __init__(self) -> None:
        self.arguments: tuple[Any, ...] | None = None

    def of_call(self, network: nn.Module) -> Call:
        """Return a network as a function that notes its inputs."""

        def call(*inputs: Any, **named: Any) -> Any:
            if not named and any(isinstance(x, Tensor) for x in inputs):
                self.arguments = tuple(x[:1].detach() if isinstance(x, Tensor) else x for x in inputs)
            return network(*inputs, **named)

        return call

    def inputs(self, count: int) -> tuple[Any, ...]:
        """Return what a network is called with for ``count`` examples, whose values do not matter.

        Raises:
            UserError: where the network is called in another way.
        """
        if self.arguments is None:
            raise UserError("`limits`: costs are counted for networks that are called with tensors; leave it out")
        return tuple(torch.cat([x] * count) if isinstance(x, Tensor) else x for x in self.arguments)
