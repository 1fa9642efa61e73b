"""Translation: the cross-entropy of each token of the target, given the source and the tokens before it.

Axes: ``b`` sentence, ``s`` token of the source, ``t`` token of the target, ``v`` vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.objective import Call, Objective, Outcome, at_least_single
from darts.data.text.language_modelling import LARGEST_LOSS
from darts.data.text.sentences import PADDING

BEGIN, END = 2, 3
"""Indices of the tokens before and after a sentence, behind those of padding and unknown words."""


@dataclass(frozen=True)
class Translation(Objective):
    """Mean cross-entropy of a token, in nats.

    ``accuracy`` is the share of a sentence's tokens that have the highest score, where the tokens before them are
    given; ``sentence_accuracy`` counts the sentences of which all have: those that greedy decoding translates exactly.
    """

    def __call__(self, network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
        """Evaluate a batch of sources ``(b, s)`` and targets ``(b, t)``."""
        source, target = batch
        scores = at_least_single(network(source, target[:, :-1]))
        wanted = target[:, 1:]
        loss = F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=PADDING)
        counted = wanted != PADDING
        right = ((scores.argmax(2) == wanted) & counted).sum(1)
        lengths = counted.sum(1)
        sums = {
            "accuracy": (right.double() / lengths).sum(),
            "sentence_accuracy": (right == lengths).sum(),
            "images": torch.tensor(len(source)),
        }
        return Outcome(loss, sums)

    def figures(self, means: Mapping[str, float], arrays: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the perplexity: e to the mean loss."""
        return {"perplexity": math.exp(min(means["loss"], LARGEST_LOSS))}
