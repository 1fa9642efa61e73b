"""A batch in one kernel: images read from the data set, cropped, mirrored, normalized, cut out, and written.

The result equals ``cropped`` and ``normalized`` of ``darts.data.augment`` bit for bit: division is rounded exactly. All
random numbers are drawn beforehand and read here, so that a captured CUDA graph draws new ones at every replay.

Axes: ``n`` image of the data set, ``b`` image of the batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from darts.data.augment import Draws
from supernet.fused.launch import ceil_div, launch

VALUES = 512
"""Number of values that a program writes."""


@triton.jit
def _batch_kernel(
    images, indices, top, left, mirrored, row, column, mean, std, out, COUNT, HALF,
    EACH, PLANE, LINE, STEP,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, CROP: tl.constexpr, FLIP: tl.constexpr, CUT: tl.constexpr,
    LAST: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * VALUES + tl.arange(0, VALUES)
    inside = at < COUNT
    b = at // (C * H * W)
    if LAST:
        c, h, w = at % C, (at // (W * C)) % H, (at // C) % W
    else:
        c, h, w = (at // (H * W)) % C, (at // W) % H, at % W
    n = tl.load(indices + b, mask=inside, other=0)
    hh, ww, there = h, w, inside
    if CROP:
        if FLIP:
            ww = tl.where(tl.load(mirrored + b, mask=inside, other=0) != 0, W - 1 - w, w)
        hh = h + tl.load(top + b, mask=inside, other=0).to(tl.int32)
        ww = ww + tl.load(left + b, mask=inside, other=0).to(tl.int32)
        there = inside & (hh >= 0) & (hh < H) & (ww >= 0) & (ww < W)
    raw = tl.load(images + n * EACH + c * PLANE + hh * LINE + ww * STEP, mask=there, other=0)
    average, deviation = tl.load(mean + c), tl.load(std + c)
    centred = raw.to(average.dtype) - average
    value = tl.div_rn(centred, deviation) if average.dtype == tl.float32 else centred / deviation
    if CUT:
        first_row = tl.load(row + b, mask=inside, other=0) - HALF
        first_column = tl.load(column + b, mask=inside, other=0) - HALF
        hidden = (h >= first_row) & (h < first_row + 2 * HALF)
        hidden = hidden & (w >= first_column) & (w < first_column + 2 * HALF)
        value = tl.where(hidden, 0.0, value)
    tl.store(out + at, value, mask=inside)


def read_batch(images: Tensor, indices: Tensor, draws: Draws, mean: Tensor, std: Tensor, channels_last: bool) -> Tensor:
    """Return the batch of these indices, ``(b, c, h, w)``, as ``darts.data.resident.batch_of`` defines it.

    Args:
        images: ``(n, c, h, w)``, of any strides.
        indices: ``(b,)``.
        draws: random numbers for each image of the batch.
        mean, std: ``(c,)``, float32 or float64; the batch has their type.
        channels_last: whether the batch is channels-last.
    """
    (_, c, h, w), b = images.shape, len(indices)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    out = torch.empty(b, c, h, w, dtype=mean.dtype, device=images.device, memory_format=layout)
    crop, cut = draws.top is not None, draws.row is not None
    top, left = (draws.top, draws.left) if crop else (indices, indices)
    mirrored = indices if draws.mirrored is None else draws.mirrored.view(torch.uint8)
    row, column = (draws.row, draws.column) if cut else (indices, indices)
    launch(
        _batch_kernel, (ceil_div(out.numel(), VALUES),),
        images, indices, top, left, mirrored, row, column, mean, std, out, out.numel(), draws.side // 2,
        *images.stride(),
        C=c, H=h, W=w, CROP=crop, FLIP=draws.mirrored is not None, CUT=cut, LAST=channels_last, VALUES=VALUES,
    )  # fmt: skip
    return out
