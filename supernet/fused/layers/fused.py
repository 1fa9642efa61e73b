"""The layers of a network by the kernels of a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from supernet.fused.layers.pointwise import pointwise
from supernet.fused.layers.separable import separable
from supernet.ops import BatchNorm, FactorizedReduce, Fusable, ReLUConvBN, Separable


def fused(x: Tensor, module: Fusable) -> Tensor:
    """Return the output of a layer, ``(b, c, h, w)``; by PyTorch's operations where its statistics are those of
    several processes."""
    weights, norm = _pointwise(module)
    if norm is not None and norm.training and norm.average is not None:
        return module.composed(x)
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    with torch.autocast(device, enabled=False):
        image = x.to(dtype, memory_format=torch.channels_last).permute(0, 2, 3, 1).contiguous()
        out = separable(image, module.op) if norm is None else pointwise(image, weights, norm)
        return out.permute(0, 3, 1, 2)


def _pointwise(module: Fusable) -> tuple[list[Tensor], BatchNorm | None]:
    """Return weights and BatchNorm of a layer of 1x1 convolutions; no BatchNorm for a separable convolution."""
    if isinstance(module, ReLUConvBN):
        _, conv, norm = module.op
        assert isinstance(conv, torch.nn.Conv2d) and isinstance(norm, BatchNorm)
        return [conv.weight], norm
    if isinstance(module, FactorizedReduce):
        return [module.conv_1.weight, module.conv_2.weight], module.bn
    assert isinstance(module, Separable)
    return [], None
