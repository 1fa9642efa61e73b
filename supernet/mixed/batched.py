"""The mixed operation for all edges that leave a state at once, on any device.

What makes it fast, in one pass over a state ``x`` with ``e`` outgoing edges:

* ReLU once, and one depthwise convolution for the stacked weights of all edges (``e c`` groups).
* Pooling has no parameters and its BatchNorm is not affine: pooled and normalized once, whatever the number of edges.
* A pointwise convolution, the BatchNorm behind it and the gate are one linear map, and the gated sum over candidates
  accumulates inside the matrix products (``supernet.mixed.linear_norm``).
* A dilation-2 convolution at stride 2 reads even pixels only: it is a dense convolution on the subsampled image.

In memory, images are channels-last with channels ordered ``(e c)``, so that ``(e, m, c)`` is a view.
Differentiable once. Under autocast, states and products have its type, statistics that of the parameters.

Axes: ``e`` edge, ``o`` candidate, ``b`` batch, ``h w`` space, ``m`` pixel of the batch (``b h w``), ``k`` input and
``c`` output channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from supernet.mixed.active import ActiveEdges, RunningStats, active_edges
from supernet.mixed.depthwise import depthwise_conv
from supernet.mixed.linear_norm import Term, batch_norm_relu, centred, gated_sum, image_rows, rows_image
from supernet.mixed.source import MixedSource
from supernet.mixed.stacked import unstack
from supernet.ops import BatchNorm, DilConv, FactorizedReduce, SepConv, Zero, shifted


def batched(source: MixedSource, x: Tensor, gates: Tensor) -> Sequence[Tensor]:
    """Return the output of each edge that leaves ``x``, ``(b, c, h, w)``; equal to ``reference``. Gates: ``(e, o)``.

    On a CPU, edges whose gate of a candidate is 0 are left out of that candidate's stack. Elsewhere the gates' values
    are not known without waiting for the device: all edges are computed, and running statistics of candidates whose
    gate is 0 are not updated.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    with torch.autocast(device, enabled=False):
        x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        if device == "cpu":
            return _edge_outputs(source, x, gates, (gates.detach() != 0).tolist())
        return _edge_outputs(source, x, gates * (gates != 0), None)


class _Linear(NamedTuple):
    """A candidate up to its last, linear step: its output is ``BatchNorm(d p)``; or ``d`` itself, without ``p``.

    ``d`` is ``(b, e k, h, w)``, or ``(b, k, h, w)`` where all edges share it; ``p`` is ``(e, k, c)``.
    """

    active: ActiveEdges
    d: Tensor
    p: Tensor | None = None
    norm: BatchNorm | None = None


def _edge_outputs(source: MixedSource, x: Tensor, gates: Tensor, live: list[list[bool]] | None) -> Sequence[Tensor]:
    """``live``: which gates are not 0, where that is known."""
    linear: list[_Linear] = []
    others: list[tuple[ActiveEdges, list[dict[str, Tensor]], nn.Module]] = []
    repeated: dict[int, Tensor] = {}
    for name, op in source.ops.items():
        active = active_edges(source, name, gates, live)
        if active is None:
            continue
        match op:
            case Zero():
                pass
            case nn.Identity():
                linear.append(_Linear(active, x))
            case nn.Sequential() if isinstance(op[0], nn.MaxPool2d | nn.AvgPool2d):
                eye = torch.eye(x.shape[1], dtype=gates.dtype, device=x.device).expand(active.number, -1, -1)
                linear.append(_Linear(active, op[0](x), eye, cast(BatchNorm, op[1])))
            case FactorizedReduce():
                linear.append(_Linear(active, _two_phases(F.relu(x)), _two_blocks(op, active), op.bn))
            case DilConv() | SepConv():
                if active.number not in repeated:
                    repeated[active.number] = _repeat(F.relu(x), active.number)
                linear.append(_separable(op.op, repeated[active.number], active))
            case _:
                others.append((active, unstack(op, len(source.edges[name])), op))
    outputs = list(_gated_sum(linear, len(gates))) if linear else [Zero(source.stride)(x)] * len(gates)
    for active, copies, op in others:
        for edge, copy, gate in zip(active.edges, active.slices, active.gate.to(x.dtype)):
            outputs[edge] = outputs[edge] + gate * functional_call(op, copies[copy], (x,))
    return outputs


def _separable(layers: nn.Sequential, x: Tensor, active: ActiveEdges) -> _Linear:
    """ReLU (done), depthwise, pointwise, BatchNorm; once for a dilated convolution, twice for a separable one."""
    modules = list(layers)
    blocks = [modules[first : first + 4] for first in range(0, len(modules), 4)]
    for block in blocks[:-1]:
        x = _normed_relu(_separable_block(block, x, active))
    return _separable_block(blocks[-1], x, active)


def _separable_block(block: Sequence[nn.Module], x: Tensor, active: ActiveEdges) -> _Linear:
    _, depthwise, pointwise, norm = block
    assert isinstance(depthwise, nn.Conv2d) and isinstance(pointwise, nn.Conv2d) and isinstance(norm, BatchNorm)
    return _Linear(active, _depthwise(x, depthwise, active), _matrix(pointwise, active), norm)


def _matrix(pointwise: nn.Conv2d, active: ActiveEdges) -> Tensor:
    """A stacked 1x1 convolution ``(e, c, k, 1, 1)`` as matrices ``(e, k, c)``."""
    return active.of(pointwise.weight).flatten(2).transpose(1, 2)


def _two_phases(x: Tensor) -> Tensor:
    """The inputs of a factorized reduction's two convolutions, ``(b, 2 c, h / 2, w / 2)``."""
    return torch.cat([phase[:, :, ::2, ::2] for phase in (x, shifted(x))], 1)


def _two_blocks(op: FactorizedReduce, active: ActiveEdges) -> Tensor:
    """Both convolutions of a factorized reduction as block-diagonal matrices, ``(e, 2 k, c)``."""
    first, second = _matrix(op.conv_1, active), _matrix(op.conv_2, active)
    return torch.cat([F.pad(first, (0, second.shape[2])), F.pad(second, (first.shape[2], 0))], 1)


def _depthwise(x: Tensor, conv: nn.Conv2d, active: ActiveEdges) -> Tensor:
    """The stacked depthwise convolutions of ``e`` edges on ``(b, e c, h, w)``."""
    stride, dilation = conv.stride[0], conv.dilation[0]
    if stride == dilation == 2:
        x, stride, dilation = x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last), 1, 1
    weight = active.of(conv.weight).flatten(0, 1).to(x.dtype)
    return depthwise_conv(x, weight, stride, dilation)


def _normed_relu(linear: _Linear) -> Tensor:
    """``relu(BatchNorm(d p))`` as an image ``(b, e c, h, w)``."""
    active, d, p, norm = linear
    assert p is not None and norm is not None
    if norm.training:
        d, mean = centred(d, norm.average)
        return batch_norm_relu(d, p, mean, RunningStats(active, norm))
    scale, shift = _scale_and_shift(norm, active)
    y = torch.matmul(image_rows(d, len(p)), (p * scale).to(d.dtype)) + shift.to(d.dtype)
    return rows_image(F.relu(y), d)


def _gated_sum(candidates: Sequence[_Linear], edges: int) -> Sequence[Tensor]:
    """``sum_o gates[e, o] * candidate_o`` for each edge, ``(b, c, h, w)``."""
    if all(candidate.norm is None or candidate.norm.training for candidate in candidates):
        return gated_sum([_term(candidate) for candidate in candidates], edges)
    totals: list[Tensor | None] = [None] * edges
    for active, d, p, norm in candidates:
        gate = active.gate[:, None, None]
        if p is None or norm is None:
            terms = gate.to(d.dtype) * image_rows(d, 1)
        else:
            scale, shift = _scale_and_shift(norm, active)
            rows = image_rows(d, d.shape[1] // p.shape[1])
            terms = torch.matmul(rows, (p * scale * gate).to(d.dtype)) + (shift * gate).to(d.dtype)
        for edge, term in zip(active.edges, terms):
            total = totals[edge]
            totals[edge] = term if total is None else total + term
    some = next(total for total in totals if total is not None)
    filled = (torch.zeros_like(some) if total is None else total for total in totals)
    return [rows_image(total[None], candidates[0].d) for total in filled]


def _term(candidate: _Linear) -> Term:
    active, d, p, norm = candidate
    if norm is None:
        return Term(d, active.gate, active.edge_index)
    d, mean = centred(d, norm.average)
    return Term(d, active.gate, active.edge_index, p=p, mean=mean, running=RunningStats(active, norm))


def _scale_and_shift(norm: BatchNorm, active: ActiveEdges) -> tuple[Tensor, Tensor]:
    """BatchNorm by its running statistics as a scale and a shift, each ``(e, 1, c)``."""
    scale = (active.of(norm.running_var) + norm.eps).rsqrt()[:, None]
    return scale, -active.of(norm.running_mean)[:, None] * scale


def _repeat(x: Tensor, edges: int) -> Tensor:
    """``(b, c, h, w) -> (b, e c, h, w)``, channels-last."""
    return x.permute(0, 2, 3, 1).repeat(1, 1, 1, edges).permute(0, 3, 1, 2)
