"""Language modelling: the cross-entropy of next-token prediction and the two regularizers of Merity et al. (2018).

Axes: ``b`` stream of the text, ``t`` token, ``h`` hidden width, ``v`` vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.objective import Call, Objective, Outcome, at_least_single

LARGEST_LOSS = 700.0
"""Nats whose exponential is still a finite number."""


@dataclass(frozen=True)
class LanguageModelling(Objective):
    """Mean cross-entropy of next-token prediction, in nats.

    Training adds ``activation`` times the mean square of the outputs that scores are computed from, and ``slowness``
    times that of the difference between consecutive hidden states (Merity et al. 2018, section 4.3).
    """

    activation: float = 0.0
    slowness: float = 0.0

    def __call__(self, network: Call, batch: tuple[Tensor, ...]) -> Outcome:
        """Evaluate a batch ``(tokens, next tokens, continues)``.

        Where a hidden state is carried over batches, two tensors follow: the state to begin with, and the tensor that
        the last state is copied to.
        """
        tokens, targets, _, *carried = batch
        begin, end = carried or (None, None)
        passed = network(tokens.t(), begin)
        if end is not None:
            end.copy_(passed.hidden.detach())
        scores = at_least_single(passed.scores)
        loss = F.cross_entropy(scores.flatten(0, 1), targets.t().flatten())
        extra = torch.zeros_like(loss)
        if self.activation:
            extra = extra + self.activation * passed.dropped.square().mean()
        if self.slowness and len(passed.raw) > 1:
            extra = extra + self.slowness * (passed.raw[1:] - passed.raw[:-1]).square().mean()
        return Outcome(loss, {"images": torch.tensor(targets.numel())}, extra)

    def figures(self, means: Mapping[str, float], arrays: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the perplexity: e to the mean loss."""
        return {"perplexity": math.exp(min(means["loss"], LARGEST_LOSS))}
