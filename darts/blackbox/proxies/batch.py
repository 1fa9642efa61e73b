"""The input of a proxy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images of one batch.

    Attributes:
        images: ``(b, c, h, w)``.
        labels: ``(b,)``.
        generator: of the CPU, for proxies that draw weights or images.
    """

    images: Tensor
    labels: Tensor
    generator: torch.Generator
