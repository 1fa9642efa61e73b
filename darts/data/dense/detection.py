"""Detection without anchors: focal loss, box-IoU loss, non-maximum suppression, average precision.

Each location of a feature map that lies near the centre of a box, on the level that fits the box's size, predicts it
(FCOS, Tian et al. 2019, with centre sampling, and without its centreness branch). The classes' loss is the focal loss
(Lin et al. 2017), the box's 1 - generalized IoU (Rezatofighi et al. 2019). Both are summed over an image and divided by
the number of its locations that predict a box; the loss of a batch is the mean over its images.

Axes: ``b`` image of the batch, ``n`` location, ``m`` box of an image, ``c`` class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.data.dense.average_precision import average_precision, matched
from darts.data.dense.labels import NO_BOX, Found
from darts.data.objective import Call, Objective, Outcome, Rows
from supernet.heads import BOX, LOCATION

CENTRE_RADIUS = 1.5
"""Strides around a box's centre within which locations predict it."""

SIZE_RANGE = 8
"""Strides: a level is for boxes whose farthest side is at most this far away (FCOS: 64 pixels at stride 8)."""

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss: the weight of the class that is there, and the exponent."""

LEAST_SCORE, OVERLAP, MOST = 0.05, 0.6, 100
"""Detections of an image: their least score, the IoU above which the lower of two is suppressed, their number."""


@dataclass(frozen=True)
class Detection(Objective):
    """Focal loss of the classes and generalized-IoU loss of the boxes.

    A batch is images, and boxes ``(b, m, 5)`` as of ``darts.data.dense.targets``. The network's output is that of
    ``supernet.heads.BoxHead``.

    Attributes:
        classes: their number.
    """

    classes: int

    def __call__(self, network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
        """Evaluate on images and boxes; nothing but images is counted while training."""
        output, boxes = network(batch[0]), batch[1]
        return Outcome(self._loss(output, boxes), {"images": torch.tensor(len(boxes))})

    def _loss(self, output: Tensor, boxes: Tensor) -> Tensor:
        locations, predicted, logits = output.split([LOCATION, BOX, self.classes], dim=2)
        chosen = assigned(locations[0].detach(), boxes)
        positive = chosen >= 0
        truth = boxes.gather(1, chosen.clamp_min(0)[..., None].expand(-1, -1, boxes.shape[2]))
        classes = truth[..., BOX].where(positive, NO_BOX)
        hot = (classes[..., None] == torch.arange(self.classes, device=boxes.device)).to(logits.dtype)
        focal = _focal(logits, hot).sum((1, 2))
        overlap = ((1 - _generalized_iou(predicted, truth[..., :BOX].to(predicted.dtype))) * positive).sum(1)
        return ((focal + overlap) / positive.sum(1).clamp_min(1)).mean()

    def evaluate(self, network: Call, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Mapping[str, Tensor | Rows]]:
        """Return the loss; the number of true boxes of each class, ``(c,)``; and a row for each detection: class, score
        and, for each threshold, whether it finds a true box, ``(d, 12)``."""
        output, boxes = network(batch[0]), batch[1]
        rows = []
        for found, truth in zip(self.detections(output), boxes):
            true = truth[truth[:, BOX] != NO_BOX].double()
            hits = matched(found.boxes.double(), found.classes, true[:, :BOX], true[:, BOX].long())
            rows.append(torch.cat([found.classes[:, None], found.scores[:, None].double(), hits.double()], dim=1))
        classes = boxes[..., BOX].flatten().long()
        true_boxes = torch.bincount(classes[classes != NO_BOX], minlength=self.classes)
        sums: dict[str, Tensor | Rows] = {
            "detections": Rows(tuple(rows)),
            "boxes": true_boxes,
            "images": torch.tensor(len(boxes)),
        }
        return self._loss(output, boxes), sums

    def detections(self, output: Tensor) -> list[Found]:
        """Return the detections of each image: of scores of ``LEAST_SCORE`` on, after non-maximum suppression by class,
        the best ``MOST``."""
        from torchvision.ops import batched_nms  # torchvision takes a second to import

        _, boxes, logits = output.split([LOCATION, BOX, self.classes], dim=2)
        found = []
        for corners, scores in zip(boxes, logits.sigmoid()):
            places, classes = (scores >= LEAST_SCORE).nonzero(as_tuple=True)
            kept = batched_nms(corners[places], scores[places, classes], classes, OVERLAP)[:MOST]
            places, classes = places[kept], classes[kept]
            found.append(Found(corners[places], scores[places, classes], classes))
        return found

    def figures(self, means: Mapping[str, float], arrays: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the average precision of .5:.95 (the mean over thresholds), and that of .5."""
        precision = average_precision(arrays["detections"], arrays["boxes"])
        return {"average_precision": precision.mean().item(), "average_precision_50": precision[0].item()}

    def predictions(self, network: Call, batch: tuple[Tensor, Tensor], classes: Sequence[str]) -> dict[str, bytes]:
        """Return a picture: images with their true boxes, and with the detections."""
        from darts.data.dense.pictures import boxes_png  # imports torchvision

        images, boxes = batch
        truths = [truth[truth[:, BOX] != NO_BOX] for truth in boxes]
        return {"predictions.png": boxes_png(images, truths, self.detections(network(images)), classes)}


def assigned(locations: Tensor, boxes: Tensor) -> Tensor:
    """Return which box each location predicts, ``(b, n)``: its number, or -1 for none.

    Of several boxes a location predicts the smallest.

    Args:
        locations: x, y and stride, ``(n, 3)``.
        boxes: ``(b, m, 5)``; ``m`` is 1 at least.
    """
    boxes = boxes[:, None].to(locations.dtype)
    centre, stride = locations[None, :, None, :2], locations[None, :, None, 2]
    distances = torch.cat([centre - boxes[..., :2], boxes[..., 2:4] - centre], dim=3)  # (b, n, m, 4)
    off = (centre - (boxes[..., :2] + boxes[..., 2:4]) / 2).abs().amax(3)
    farthest, strides = distances.amax(3), locations[:, 2]
    least = torch.where(strides > strides.min(), SIZE_RANGE * strides / 2, 0.0)[None, :, None]
    most = torch.where(strides < strides.max(), SIZE_RANGE * strides, torch.inf)[None, :, None]
    fits = (distances.amin(3) > 0) & (off < CENTRE_RADIUS * stride) & (farthest > least) & (farthest <= most)
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    areas = torch.where(fits & (boxes[..., 4] != NO_BOX), areas, torch.inf)
    smallest, chosen = areas.min(2)
    return chosen.where(smallest < torch.inf, -1)


def _focal(logits: Tensor, hot: Tensor) -> Tensor:
    """Return the focal loss of each logit: cross-entropy times ``(1 - p) ** GAMMA``, for ``p`` of what is true."""
    p = logits.sigmoid()
    wrong = p + hot - 2 * p * hot
    weight = ALPHA * hot + (1 - ALPHA) * (1 - hot)
    return weight * wrong**GAMMA * F.binary_cross_entropy_with_logits(logits, hot, reduction="none")


def _generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalized IoU of boxes in pairs, ``(..., 4)`` -> ``(...)``: IoU minus the share of the smallest box
    around both that is in neither."""
    least, most = torch.minimum(a, b), torch.maximum(a, b)
    inner = (least[..., 2:] - most[..., :2]).clamp_min(0).prod(-1)
    outer = (most[..., 2:] - least[..., :2]).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    tiny = torch.finfo(union.dtype).tiny
    return inner / union.clamp_min(tiny) - (outer - union) / outer.clamp_min(tiny)
