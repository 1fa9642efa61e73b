"""Objectives, the loss that is minimized: classification, unless the data set or the user defines another objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.objective import Call, Objective, Outcome, at_least_single
from darts.errors import UserError


class Classification(Objective):
    """Mean cross-entropy of ``(inputs, labels)``; ``accuracy`` counts the labels that have the highest score."""

    def __call__(self, network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
        """Evaluate on inputs of any shape ``(b, ...)`` and classes ``(b,)`` or ``(b, ...)``, or probabilities
        ``(b, c)``."""
        inputs, labels = batch
        scores = at_least_single(network(inputs))
        labels = labels.to(scores.dtype) if labels.is_floating_point() else labels.long()
        correct = scores.argmax(1) == (labels.argmax(1) if labels.is_floating_point() else labels)
        # Of dense labels (b, h, w), an example counts by the share of its positions.
        right = correct.sum() if correct.ndim == 1 else correct.flatten(1).double().mean(1).sum()
        return Outcome(F.cross_entropy(scores, labels), {"accuracy": right, "images": torch.tensor(len(labels))})

    def check(self, batch: Any) -> None:
        """Refuse batches that cannot be classified.

        Raises:
            UserError: where a batch is no pair of tensors, or its labels are no classes.
        """
        instead = "give `loss` for anything else"
        if not (isinstance(batch, list | tuple) and len(batch) == 2 and isinstance(batch[1], Tensor)):
            found = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, list | tuple) else "")
            raise UserError(
                f"`data` has batches that are {found}; without a loss they must be (inputs, labels): {instead}"
            )
        labels = batch[1]
        found = f"{str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)}"
        classes = "classes (b,) or (b, h, w), integers from 0, or probabilities (b, c)"
        if labels.ndim == 0 or (labels.is_floating_point() and (labels.ndim < 2 or labels.shape[1] < 2)):
            raise UserError(f"`data` has labels of {found}; without a loss they must be {classes}: {instead}")
        if labels.ndim == 2 and labels.shape[1] == 1:
            raise UserError(f"`data` has labels of {found}; they must be {classes}: take labels.squeeze(1)")
        if not labels.is_floating_point() and labels.numel() and labels.min() < 0 and labels.min() != -100:
            raise UserError(f"`data` has a label {int(labels.min())}; without a loss they must be {classes}: {instead}")


SCORES = ("mean_iou", "average_precision", "accuracy")
"""Figures by which networks are ranked, where their objective has them."""

SHARES = (*SCORES, "average_precision_50")
"""Ends of the names of figures that are shares of 1, the more the better."""

classification = Classification()
"""The default objective; it has no state."""


class UserLoss(Objective):
    """A user's own loss.

    Args:
        loss: (network, batch) -> mean over the batch, a scalar.
    """

    def __init__(self, loss: Callable[[Call, Any], Tensor]):
        if not callable(loss):
            raise UserError(f"`loss` is a {type(loss).__name__}; it must be a function of the network and a batch")
        self.loss = loss

    def __call__(self, network: Call, batch: Any) -> Outcome:
        """Evaluate on a batch of any form.

        Raises:
            UserError: where the loss is no scalar.
        """
        loss = self.loss(network, batch)
        if not isinstance(loss, Tensor) or loss.ndim:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise UserError(f"`loss` returns {found}; it must be the mean over the batch, a tensor without axes")
        return Outcome(loss, {"images": torch.tensor(examples(batch))})


def examples(batch: Any) -> int:
    """Return the number of examples in a batch: the length of the first tensor in it; 1 where there is none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((examples(part) for part in parts), 1)


def ranked_by(figures: Mapping[str, Any]) -> tuple[str, int]:
    """Return the figure by which networks are ranked, and 1 where more of it is better, -1 where less is.

    It is the first of ``SCORES`` that is there under its own name or with a split's before it, or the loss.
    """
    known = {part for name in figures for part in (name, name.partition("_")[2])}
    return next(((score, 1) for score in SCORES if score in known), ("loss", -1))


def score_of(figures: Mapping[str, float], split: str = "valid") -> float:
    """Return the value by which networks are ranked, the larger the better: the loss with its sign turned."""
    figure, sign = ranked_by(figures)
    return sign * figures.get(f"{split}_{figure}", 0.0)
