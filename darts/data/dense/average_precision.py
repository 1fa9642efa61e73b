"""Average precision as in the COCO evaluation (Lin et al. 2014; its reference code, pycocotools).

The detections of an image are matched with its true boxes by falling score, for each of ten thresholds of the
intersection over union. Over a whole split, the precision of a class is read at 101 recalls, from its largest value at
any recall at least as high; the mean over recalls is its average precision, and the mean over classes that have true
boxes is the figure.

Axes: ``d`` detection, ``m`` true box, ``t`` threshold, ``c`` class.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
"""Intersection over union from which a detection finds a true box."""

RECALLS = 101
"""Number of recalls, from 0 to 1, at which precision is read."""


def matched(boxes: Tensor, classes: Tensor, true_boxes: Tensor, true_classes: Tensor) -> Tensor:
    """Return whether each detection of an image finds a true box of its class, ``(d, t)``.

    Each takes, in turn, the box of the largest intersection over union among those that are not found yet, the last of
    equal ones, where that is at least the threshold.

    Args:
        boxes: of the detections by falling score, ``(d, 4)``.
        classes: of the detections, ``(d,)``.
        true_boxes, true_classes: ``(m, 4)`` and ``(m,)``.
    """
    hits = torch.zeros(len(boxes), len(THRESHOLDS), dtype=torch.bool)
    if len(boxes) == 0 or len(true_boxes) == 0:
        return hits.to(boxes.device)
    overlaps = torch.where(classes[:, None] == true_classes, intersection_over_union(boxes, true_boxes), -1.0).tolist()
    for column, threshold in enumerate(THRESHOLDS):
        free = set(range(len(true_boxes)))
        for row, overlap in enumerate(overlaps):
            best = max(free, key=lambda box: (overlap[box], box), default=None)
            if best is not None and overlap[best] >= threshold:
                free.remove(best)
                hits[row, column] = True
    return hits.to(boxes.device)


def intersection_over_union(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of every pair of boxes, ``(d, 4)`` and ``(m, 4)`` -> ``(d, m)``."""
    inner = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
    both = inner.clamp_min(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    either = areas[0][:, None] + areas[1] - both
    return both / either.clamp_min(torch.finfo(either.dtype).tiny)


def average_precision(detections: Tensor, true_boxes: Tensor) -> Tensor:
    """Return the average precision at each threshold, ``(t,)``, float64: the mean over classes that have true boxes.

    Args:
        detections: of all images: class, score, and whether it finds a true box at each threshold, ``(d, 2 + t)``.
        true_boxes: number of each class, ``(c,)``.
    """
    found = [
        _of_class(detections[detections[:, 0] == label][:, 1:], count)
        for label, count in enumerate(true_boxes.tolist())
        if count
    ]
    return torch.stack(found).mean(0) if found else torch.zeros(len(THRESHOLDS), dtype=torch.float64)


def _of_class(detections: Tensor, true_boxes: float) -> Tensor:
    """Return the average precision of one class at each threshold, ``(t,)``.

    Args:
        detections: score, and whether it finds a true box at each threshold, ``(d, 1 + t)``.
        true_boxes: number of true boxes.
    """
    if len(detections) == 0:
        return torch.zeros(len(THRESHOLDS), dtype=torch.float64)
    order = detections[:, 0].argsort(descending=True, stable=True)
    hits = detections[order, 1:].double().cumsum(0)
    recall, precision = hits / true_boxes, hits / torch.arange(1, len(hits) + 1, dtype=torch.float64)[:, None]
    best = precision.flip(0).cummax(0).values.flip(0)
    read = torch.from_numpy(np.linspace(0, 1, RECALLS)).expand(recall.shape[1], -1).contiguous()
    places = torch.searchsorted(recall.T.contiguous(), read)
    padded = torch.cat([best, best.new_zeros(1, best.shape[1])])
    return padded.T.gather(1, places).mean(1)
