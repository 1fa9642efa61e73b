"""The objective of retraining a classifier: cross-entropy with label smoothing, and that of an auxiliary head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.objective import Call, Objective, Outcome


@dataclass(frozen=True)
class RetrainingClassification(Objective):
    """Cross-entropy of the main head and, as the extra loss, that of the auxiliary head (Liu et al. 2019, A.2.1).

    Attributes:
        smoothing: share of the target that is spread over all classes.
        auxiliary: weight of the auxiliary head's loss; 0 for networks without one.
    """

    smoothing: float
    auxiliary: float

    def __call__(self, network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
        """Evaluate images and classes ``(b,)``; ``accuracy`` counts the labels that have the highest score."""
        images, labels = batch
        out = network(images)
        scores, auxiliary = out if self.auxiliary else (out, None)
        loss = F.cross_entropy(scores.float(), labels, label_smoothing=self.smoothing)
        extra = None
        if auxiliary is not None:
            extra = self.auxiliary * F.cross_entropy(auxiliary.float(), labels, label_smoothing=self.smoothing)
        correct = (scores.argmax(1) == labels).sum()
        return Outcome(loss, {"accuracy": correct, "images": torch.tensor(len(labels))}, extra)
