"""DARTS-: stepping out of performance collapse (Chu et al. 2021).

Every edge gets an auxiliary skip connection beside its mixed operation (equation 5), so that the skip among the
candidates does not have to carry the gradient as well. Its weight falls from 1 to 0 while the search runs, and it is
not among what is derived. At stride 2 it is a factorized reduction of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.modifiers import Schedule
from darts.config.ranges import choose
from darts.methods.method import Method

DECAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: (1 + torch.cos(math.pi * progress)) / 2,
    "slow_cosine": lambda progress: torch.cos(math.pi / 2 * progress),
}
"""Progress in [0, 1] -> the share of the first weight that is left; the last is an option of the authors' code."""


@dataclass(frozen=True)
class Falling(Schedule):
    """A weight that falls to 0.

    Attributes:
        first: the weight at the beginning.
        decay: one of ``DECAYS``.
        convolution: whether the skip of stride 1 is a 1x1 convolution that begins as the identity, an option of the
            authors' code.
    """

    first: float = 1.0
    decay: str = "linear"
    convolution: bool = False

    def __post_init__(self) -> None:
        choose(self, decay=DECAYS)

    def __call__(self, progress: Tensor) -> Tensor:
        return self.first * DECAYS[self.decay](progress)


METHOD = Method(skip=Falling())
