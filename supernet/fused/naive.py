"""The definition of each fused function in plain PyTorch: slow, one row at a time, tested against the kernels.

Each function computes the same as the function of its name beside the kernels, from the same tensors; rows of launch
tables are given as ``ConvRow`` and ``TermRow``. Where a kernel returns sums of tiles, the definition returns
the sum over all pixels. A fused backward is the derivative of its forward, so where it has a forward here,
``torch.autograd`` defines it.

Axes: ``b`` batch, ``h w`` space, ``c`` channel, ``m`` pixel of the batch, ``r`` row, ``e`` slot in a stacked parameter;
images are channels-last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.fused.dense import Kinds
from supernet.fused.rows import NORMALIZED, STATE, ConvRow, SharedRow, TermRow
from supernet.ops import BatchNorm

Statistics = tuple[Tensor, Tensor]
"""Mean and 1 / std at every place, ``(place, c)`` each."""


def depthwise(x: Tensor, weight: Tensor, dilation: int, stride: int) -> Tensor:
    """Return ReLU and depthwise convolution of a state ``(b, h, w, c)``, by a weight ``(c, 1, side, side)``."""
    side, channels = weight.shape[-1], x.shape[-1]
    image = F.relu(x).permute(0, 3, 1, 2)
    y = F.conv2d(image, weight.to(x.dtype), None, stride, dilation * (side // 2), dilation, channels)
    return y.permute(0, 2, 3, 1)


def separable(x: Tensor, kinds: Kinds, row: ConvRow, stride: int) -> Tensor:
    """Return ReLU, depthwise and pointwise convolution of a state ``(b, h, w, c)``: a row's plane, ``(m, c)``."""
    y = depthwise(x, kinds.depthwise[row.kind][row.slot], kinds.dilations[row.kind], stride)
    return y.flatten(0, 2) @ kinds.pointwise[row.kind][row.slot, :, :, 0, 0].to(x.dtype).t()


def source_of(row: ConvRow, planes: Tensor, statistics: Statistics) -> Tensor:
    """Return the input of a second half's row before its ReLU: its normalized source plane, ``(m, c)``."""
    mean, rstd = statistics
    return (planes[row.source] - mean[row.source]) * rstd[row.source]


def normalized_sources(planes: Tensor, rows: Sequence[ConvRow], gates: Tensor, statistics: Statistics) -> Tensor:
    """Return each row's normalized source plane after its ReLU, ``(r, m, c)``; 0 where the gate is 0."""
    found = [F.relu(source_of(row, planes, statistics)) * (gates[row.gate] != 0) for row in rows]
    return torch.stack(found)


def convs_forward(
    x: Tensor, planes: Tensor, rows: Sequence[ConvRow], kinds: Kinds, gates: Tensor, stride: int = 1
) -> None:
    """Write the planes of all rows whose gate is not 0.

    Args:
        x: the state, ``(b, h, w, k)``, or each row's input, ``(r, b, h, w, k)``.
    """
    for index, row in enumerate(rows):
        if gates[row.gate] != 0:
            planes[row.target] = separable(x if x.dim() == 4 else x[index], kinds, row, stride)


def finalize_statistics(
    planes: Tensor, rows: Sequence[ConvRow], mean: Tensor, rstd: Tensor, variances: Tensor, gates: Tensor
) -> None:
    """Write mean, 1 / std and unbiased variance of all rows' planes, ``(place, c)``, whose gate is not 0."""
    for row in rows:
        if gates[row.gate] != 0:
            y = planes[row.target]
            mean[row.target] = y.mean(0)
            rstd[row.target] = (y.var(0, correction=0) + BatchNorm.eps).rsqrt()
            variances[row.target] = y.var(0, correction=1)


def plane_gradients(
    planes: Tensor, grads: Tensor, coefficients: Tensor, rows: Sequence[ConvRow], gates: Tensor
) -> Tensor:
    """Return the gradient of each row's plane, ``a g + b y + s``, ``(r, m, c)``; 0 where the gate is 0."""
    dy = planes.new_zeros(len(rows), *planes.shape[1:])
    for index, row in enumerate(rows):
        if gates[row.gate] != 0:
            a, b, s = coefficients[:, row.target]
            dy[index] = a * grads[row.behind] + b * planes[row.target] + s
    return dy


def dense_weights(rows: Sequence[ConvRow], kinds: Kinds) -> list[Tensor]:
    """Return each row's weights as those of one dense convolution, ``(t, n, k)``."""
    found = []
    for row in rows:
        w, p = (weights[row.kind][row.slot] for weights in (kinds.depthwise, kinds.pointwise))
        found.append(w.flatten(1).t()[:, None] * p[:, :, 0, 0])
    return found


def conv_weight_gradients(
    x: Tensor, dy: Tensor, rows: Sequence[ConvRow], kinds: Kinds, gates: Tensor, stride: int = 1
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients of each kind's depthwise and pointwise weights; 0 where the gate is 0.

    Args:
        x: the state, ``(b, h, w, k)``, or each row's input, ``(r, b, h, w, k)``.
    """
    weights = [*kinds.depthwise, *kinds.pointwise]
    with torch.enable_grad():
        leaves = [weight.detach().requires_grad_() for weight in weights]
        count = len(kinds.sides)
        given = Kinds(kinds.sides, kinds.dilations, tuple(leaves[:count]), tuple(leaves[count:]))
        loss = torch.stack([(weight * 0).sum() for weight in leaves]).sum()
        for index, row in enumerate(rows):
            if gates[row.gate] != 0:
                y = separable(x if x.dim() == 4 else x[index], given, row, stride)
                loss = loss + (y * dy[index]).sum()
    found = torch.autograd.grad(loss, leaves)
    return list(found[:count]), list(found[count:])


def input_gradient(
    x: Tensor, dy: Tensor, out: Tensor, rows: Sequence[ConvRow], kinds: Kinds, gates: Tensor, stride: int
) -> None:
    """Add the gradient of a state ``(b, h, w, c)``, from those of its rows' planes ``dy``, to ``out``."""
    for index, row in enumerate(rows):
        if gates[row.gate] != 0:
            out += separable_backward(x, dy[index], kinds, row, stride)


def separable_backward(x: Tensor, dy: Tensor, kinds: Kinds, row: ConvRow, stride: int) -> Tensor:
    """Return the gradient of ``x`` through ``separable`` from that of its output, ``dy``, ``(m, c)``."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        y = separable(leaf, kinds, row, stride)
    return torch.autograd.grad(y, leaf, dy)[0]


def half_gradient(
    dy: Tensor,
    planes: Tensor,
    statistics: Statistics,
    grads: Tensor,
    first: int,
    rows: Sequence[ConvRow],
    kinds: Kinds,
    gates: Tensor,
    size: tuple[int, int, int],
) -> Tensor:
    """Write the gradient ``g`` behind each first half's BatchNorm, ``grads[first + source]``.

    Returns:
        The sums of ``g`` and of ``g z``, with ``z`` the normalized plane, ``(r, 2, c)``; 0 where the gate is 0.
    """
    sums = planes.new_zeros(len(rows), 2, planes.shape[-1])
    for index, row in enumerate(rows):
        if gates[row.gate] != 0:
            z = source_of(row, planes, statistics)
            g = separable_backward(z.view(*size, -1), dy[index], kinds, row, stride=1).flatten(0, 2)
            grads[first + row.source] = g
            sums[index] = torch.stack([g.sum(0), (g * z).sum(0)])
    return sums


def term(row: TermRow, inputs: Sequence[Tensor], nodes: Tensor, planes: Tensor, statistics: Statistics) -> Tensor:
    """Return a term of a node before its gate, ``(m, c)``."""
    if row.form == STATE:
        return nodes[row.state] if row.state >= 0 else inputs[-1 - row.state]
    mean, rstd = statistics
    plane = planes[row.plane]
    return (plane - mean[row.place]) * rstd[row.place] if row.form == NORMALIZED else plane


def combine_forward(
    inputs: Sequence[Tensor],
    nodes: Tensor,
    planes: Tensor,
    statistics: Statistics,
    rows: Sequence[TermRow],
    gates: Tensor,
) -> Tensor:
    """Return a node, ``(m, c)``: the gated sum of its terms."""
    node = torch.zeros_like(nodes[0])
    for row in rows:
        if gates[row.gate] != 0:
            node = node + gates[row.gate] * term(row, inputs, nodes, planes, statistics)
    return node


def combine_sums(
    grad: Tensor,
    inputs: Sequence[Tensor],
    nodes: Tensor,
    planes: Tensor,
    statistics: Statistics,
    rows: Sequence[TermRow],
    gates: Tensor,
) -> Tensor:
    """Return the sums of a node's gradient ``g`` and of ``g z`` for each of its terms ``z``, ``(r, 2, c)``."""
    sums = grad.new_zeros(len(rows), 2, grad.shape[-1])
    for index, row in enumerate(rows):
        if gates[row.gate] != 0:
            z = term(row, inputs, nodes, planes, statistics)
            sums[index] = torch.stack([grad.sum(0), (grad * z).sum(0)])
    return sums


def finalize_coefficients(
    sums: Tensor, pixels: int, mean: Tensor, rstd: Tensor, gate: Tensor, training: bool
) -> tuple[Tensor, Tensor]:
    """Return ``a``, ``b``, ``s`` of a normalized plane, ``(3, c)``, and the gradient of its gate.

    With ``z = (y - mean) rstd`` the gradient of ``gate z`` with respect to ``y`` is ``a g + b y + s``.

    Args:
        sums: of ``g`` and of ``g z`` over the pixels, ``(2, c)``.
        mean, rstd: of the plane, ``(c,)``.
        gate: a scalar; 1 for a plane that no gate multiplies.
        training: whether the statistics are the batch's own.
    """
    g, gz = sums
    a = gate * rstd
    b = -a * rstd * gz / pixels if training else torch.zeros_like(a)
    s = -a * g / pixels - b * mean if training else torch.zeros_like(a)
    return torch.stack([a, b, s]), gz.sum()


def shared_gradient(
    grads: Tensor, pools: Tensor, coefficients: Tensor, gates: Tensor, rows: Sequence[SharedRow], out: Tensor
) -> Tensor:
    """Add the gradient of a state ``(m, c)`` through its skip connections to ``out``.

    Args:
        pools: the max-pooled and the average-pooled state, ``(2, m, c)``.

    Returns:
        Their gradients, ``(2, m, c)``.
    """
    found = torch.zeros_like(pools)
    for row in rows:
        for pool, place in enumerate((row.maximum, row.average)):
            if place >= 0:
                a, b, s = coefficients[:, place]
                found[pool] += a * grads[row.node] + b * pools[pool] + s
        if row.gate >= 0:
            out += gates[row.gate] * grads[row.node]
    return found


def pools_forward(x: Tensor, stride: int) -> Tensor:
    """Return the 3x3 max-pooled and average-pooled state, ``(2, m, c)``; padding is not counted in averages."""
    image = x.permute(0, 3, 1, 2)
    pooled = F.max_pool2d(image, 3, stride, 1), F.avg_pool2d(image, 3, stride, 1, count_include_pad=False)
    return torch.stack([y.permute(0, 2, 3, 1).flatten(0, 2) for y in pooled])


def pools_backward(x: Tensor, grads: Tensor, stride: int) -> Tensor:
    """Return the gradient of a state ``(b, h, w, c)`` from those of its pools, ``(2, m, c)``."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        y = pools_forward(leaf, stride)
    return torch.autograd.grad(y, leaf, grads)[0]


def move_running(
    mean: Tensor,
    variances: Tensor,
    running: Sequence[tuple[Tensor, Tensor]],
    rows: Sequence[tuple[int, int]],
    gates: Tensor,
) -> None:
    """Update running means and variances, ``(c,)`` each, of all rows (place, gate) whose gate is not 0."""
    for (running_mean, running_var), (place, gate) in zip(running, rows):
        if gates[gate] != 0:
            running_mean.lerp_(mean[place].to(running_mean.dtype), BatchNorm.momentum)
            running_var.lerp_(variances[place].to(running_var.dtype), BatchNorm.momentum)
