"""How masks and boxes are written down: the value of pixels of no class, of rows that are no box, and detections."""

from typing import NamedTuple

from torch import Tensor

IGNORED = 255
"""The value of pixels that are of no class, as in Pascal VOC's masks."""

NO_BOX = -1
"""Class of the rows that fill up the boxes of an image which has fewer than others."""


class Found(NamedTuple):
    """The detections of one image, by falling score.

    Attributes:
        boxes: left, top, right, bottom, ``(d, 4)``.
        scores, classes: ``(d,)``.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
