"""Parts that the networks of every space share: drop path, the logits of two heads, the number of weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DropPath:
    """Drop each path of a sample with some probability (Larsson et al. 2017), as DARTS does when retraining.

    Attributes:
        probability: of dropping a path, in [0, 1); a number, or a tensor, whose value may change between steps.
        generator: on the network's device; draws one number for each path and sample.
        skips: probability of setting a value in the output of a supernet's skip connection of stride 1 to 0 (P-DARTS,
            Chen et al. 2019, section 3.2); a number or a tensor.
    """

    probability: Tensor | float
    generator: torch.Generator | None = None
    skips: Tensor | float = 0.0

    @property
    def drops(self) -> bool:
        """Whether paths are dropped at all: always for a tensor, whose value the host does not know."""
        return isinstance(self.probability, Tensor) or self.probability > 0

    @property
    def drops_skips(self) -> bool:
        """Whether values of skip connections are dropped."""
        return isinstance(self.skips, Tensor) or self.skips > 0

    def __call__(self, x: Tensor) -> Tensor:
        keep = 1.0 - self.probability
        draw = torch.rand(x.shape[0], 1, 1, 1, device=x.device, generator=self.generator)
        return x * ((draw < keep) / keep).to(x.dtype)

    def dropout(self, x: Tensor) -> Tensor:
        """Drop each value independently, with the probability ``skips``, and scale the others."""
        keep = 1.0 - self.skips
        return x * (torch.rand(x.shape, device=x.device, generator=self.generator) < keep).to(x.dtype) / keep


def dropping(factors: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that multiplies one path after the other by its column of ``(b, paths)``: 0, or what scales it.

    It is a ``DropPath`` whose numbers are drawn before.
    """
    columns = iter(factors.unbind(1))
    return lambda x: x * next(columns).to(x.dtype)[:, None, None, None]


class Logits(NamedTuple):
    """The logits of the head and of the auxiliary head, each ``(b, classes)``."""

    main: Tensor
    auxiliary: Tensor


def count_parameters(network: nn.Module) -> int:
    """Return the number of weights of a network without its auxiliary head, as papers report it."""
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith("auxiliary_head."))
