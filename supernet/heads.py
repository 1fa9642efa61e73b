"""Heads: what a network predicts from the feature maps of its backbone.

A backbone gives one map for each of its *levels*, the finest first. Classification reads the last; masks and boxes read
all of them, through a feature pyramid (Lin et al. 2017a) whose 3x3 convolutions are separable (EfficientDet, Tan et al.
2020). Masks are predicted from the sum of its levels (Kirillov et al. 2019), brought to the image's size by sub-pixel
convolution (Shi et al. 2016). Boxes are predicted without anchors, one at each location of each level (FCOS, Tian et
al. 2019).

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``n`` location of all levels.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet.ops import BatchNorm
from supernet.shapes import ImageShape

PRIOR = 0.01
"""Probability of each class that a new ``BoxHead`` predicts everywhere (Lin et al. 2017b, section 3.3)."""

WIDTHS = 64, 256
"""Least and largest width of a feature pyramid; the largest is the published one (Lin et al. 2017a)."""

GROUPS = 8
"""Groups of GroupNorm in the ``BoxHead``, whose weights are shared by levels of unlike statistics."""

LOCATION = 3
"""Numbers of a ``BoxHead``'s output before the box: x, y and stride of the location."""

BOX = 4
"""Numbers of a box."""


class Level(NamedTuple):
    """A feature map of a backbone.

    Attributes:
        channels: of the map.
        stride: pixels of the image for each of the map, in each direction.
    """

    channels: int
    stride: int


class ClassHead(nn.Linear):
    """The logits of classes, ``(b, classes)``, from the means of the last level.

    Attributes:
        reads_all_levels: False: the network need not keep the maps of other levels.
    """

    reads_all_levels = False

    def __init__(self, shape: ImageShape, levels: Sequence[Level]):
        super().__init__(levels[-1].channels, shape.classes)

    def forward(self, maps: Any) -> Tensor:
        return super().forward(maps[-1].mean((2, 3)))


class FeaturePyramid(nn.Module):
    """Maps of one width, in which the coarser levels are added to the finer ones: a list of ``(b, width, h, w)``."""

    def __init__(self, levels: Sequence[Level], width: int):
        super().__init__()
        self.lateral = nn.ModuleList(_pointwise(level.channels, width) for level in levels)
        self.smooth = nn.ModuleList(_smooth(width) for _ in levels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        found: list[Tensor] = []
        for x, lateral in zip(reversed(maps), reversed(self.lateral)):
            y = lateral(x)
            found.append(y + F.interpolate(found[-1], size=y.shape[2:]) if found else y)
        return [smooth(y) for y, smooth in zip(reversed(found), self.smooth)]


def _pointwise(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), BatchNorm(c_out))


def _smooth(width: int) -> nn.Sequential:
    """Return ReLU, separable 3x3 convolution, BatchNorm, ReLU."""
    depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
    return nn.Sequential(nn.ReLU(), depthwise, *_pointwise(width, width), nn.ReLU())


def _width(levels: Sequence[Level]) -> int:
    """Return the width of a pyramid: twice that of the finest level within ``WIDTHS``, a multiple of ``GROUPS``.

    All that the coarse levels know of classes has to pass through it.
    """
    least, most = WIDTHS
    return min(most, max(least, -(-2 * levels[0].channels // GROUPS) * GROUPS))


class MaskHead(nn.Module):
    """The logits of the classes of every pixel, ``(b, classes, h, w)``, as large as the images."""

    reads_all_levels = True

    def __init__(self, shape: ImageShape, levels: Sequence[Level]):
        super().__init__()
        width, self.stride, self.size = _width(levels), levels[0].stride, shape.size
        self.pyramid = FeaturePyramid(levels, width)
        self.scores = nn.Conv2d(width, shape.classes * self.stride**2, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        finest, *coarser = self.pyramid(maps)
        found = self.scores(finest)
        for x in coarser:  # the scores of a sum of maps are the sum of their scores: fewer channels are interpolated
            scores = F.conv2d(x, self.scores.weight)
            found = found + F.interpolate(scores, size=finest.shape[2:], mode="bilinear")
        return F.pixel_shuffle(found, self.stride)[:, :, : self.size, : self.size]


class BoxHead(nn.Module):
    """A box and its logits of classes at each location, ``(b, n, 7 + classes)``, in single precision at least.

    The numbers of a location are its x, y and stride; the box's left, top, right and bottom; and the logits of the
    classes; all lengths in pixels. Levels of stride 1 are not predicted from, unless there is no other.
    """

    reads_all_levels = True

    def __init__(self, shape: ImageShape, levels: Sequence[Level]):
        super().__init__()
        width = _width(levels)
        self.pyramid = FeaturePyramid(levels, width)
        self.strides = [level.stride for level in levels if level.stride > 1] or [levels[-1].stride]
        self.tower = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, width), nn.ReLU()
        )
        self.scores = nn.Conv2d(width, shape.classes, 3, padding=1)
        self.distances = nn.Conv2d(width, BOX, 3, padding=1)
        assert self.scores.bias is not None
        nn.init.constant_(self.scores.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        found = []
        for x, stride in zip(self.pyramid(maps)[-len(self.strides) :], self.strides):
            y = self.tower(x)
            found.append(_decoded(self.distances(y), self.scores(y), stride))
        return torch.cat(found, dim=1)


def _decoded(distances: Tensor, scores: Tensor, stride: int) -> Tensor:
    """Return the output of one level.

    Args:
        distances: from each location to the left, top, right and bottom of its box, in strides, before softplus, ``(b,
            4, h, w)``. Exponentials, as in the first version of FCOS, can overshoot in an early step to boxes so large
            that their IoU has no gradient.
        scores: logits, ``(b, classes, h, w)``.
        stride: of the level.
    """
    dtype = torch.promote_types(distances.dtype, torch.float32)
    b, _, h, w = distances.shape
    y, x = ((torch.arange(n, device=distances.device, dtype=dtype) + 0.5) * stride for n in (h, w))
    x, y = x.expand(h, w).flatten(), y[:, None].expand(h, w).flatten()
    centre = torch.stack([x, y], dim=1)
    left_top, right_bottom = (F.softplus(distances.to(dtype)) * stride).flatten(2).mT.split(2, dim=2)
    location = torch.cat([centre, torch.full_like(centre[:, :1], stride)], dim=1).expand(b, -1, -1)
    return torch.cat([location, centre - left_top, centre + right_bottom, scores.to(dtype).flatten(2).mT], dim=2)


HEADS: dict[str, Callable[[ImageShape, Sequence[Level]], nn.Module]] = {
    "class": ClassHead,
    "mask": MaskHead,
    "boxes": BoxHead,
}
"""What is predicted of an image (``ImageShape.target``) -> the head that predicts it."""


def head(shape: ImageShape, levels: Sequence[Level]) -> nn.Module:
    """Return the head for what is predicted of images.

    Args:
        shape: of the images, the number of classes and what is predicted.
        levels: of the backbone, the finest first.
    """
    return HEADS[shape.target](shape, levels)
