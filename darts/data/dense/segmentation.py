"""Semantic segmentation: the cross-entropy of every pixel; mean intersection over union and pixel accuracy.

Both metrics follow from the confusion matrix of a whole split, as in the Pascal VOC challenge (Everingham et al. 2010):
a class's intersection over union is the pixels that are of the class in prediction and truth, over those that are in
either. The mean is over the classes that are in either at all.

Axes: ``b`` image of the batch, ``c`` class, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.dense.labels import IGNORED
from darts.data.objective import Call, Objective, Outcome, Rows, at_least_single


@dataclass(frozen=True)
class Segmentation(Objective):
    """Mean cross-entropy of the pixels that are not ``IGNORED``.

    Attributes:
        classes: their number, with the background.
    """

    classes: int

    def __call__(self, network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
        """Evaluate on images and masks ``(b, h, w)``; ``pixel_accuracy`` counts an image by the share of its pixels."""
        scores, masks = _scores(network, batch), batch[1]
        counted = masks != IGNORED
        right = ((scores.argmax(1) == masks) & counted).flatten(1).sum(1) / counted.flatten(1).sum(1).clamp_min(1)
        return Outcome(_loss(scores, masks), {"pixel_accuracy": right.sum(), "images": torch.tensor(len(masks))})

    def evaluate(self, network: Call, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Mapping[str, Tensor | Rows]]:
        """Return the loss and the confusion matrix, ``(c, c)``: a row for each true class, a column for each
        predicted one."""
        scores, masks = _scores(network, batch), batch[1]
        counted = masks != IGNORED
        pairs = masks[counted] * self.classes + scores.argmax(1)[counted]
        confusion = torch.bincount(pairs, minlength=self.classes**2).view(self.classes, self.classes)
        return _loss(scores, masks), {"confusion": confusion, "images": torch.tensor(len(masks))}

    def figures(self, means: Mapping[str, float], arrays: Mapping[str, Tensor]) -> dict[str, float]:
        """Return mean intersection over union and pixel accuracy over the split."""
        confusion = arrays["confusion"]
        both = confusion.diagonal()
        either = confusion.sum(0) + confusion.sum(1) - both
        there = either > 0
        mean_iou = (both[there] / either[there]).mean().item() if there.any() else 0.0
        return {"mean_iou": mean_iou, "pixel_accuracy": (both.sum() / confusion.sum().clamp_min(1)).item()}

    def predictions(self, network: Call, batch: tuple[Tensor, Tensor], classes: Sequence[str]) -> dict[str, bytes]:
        """Return a picture: images, true masks, and predicted ones."""
        from darts.data.dense.pictures import masks_png  # imports torchvision

        images, masks = batch
        return {"predictions.png": masks_png(images, masks, _scores(network, batch).argmax(1), len(classes))}


def _scores(network: Call, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the logits of the classes of every pixel, ``(b, c, h, w)``, in single precision at least."""
    return at_least_single(network(batch[0]))


def _loss(scores: Tensor, masks: Tensor) -> Tensor:
    """Return the mean over pixels; 0 where all are ``IGNORED``."""
    total = F.cross_entropy(scores, masks, ignore_index=IGNORED, reduction="sum")
    return total / (masks != IGNORED).sum().clamp_min(1)
