"""The C++ functions, called with tensors: convolutions, pools, nodes, forward and backward.

Each computes what its definition in ``supernet.fused.naive`` says, for all rows of a launch at once, in float32 or
float64, on PyTorch's number of threads; the same bits for any number of threads. Images are channels-last and
contiguous; rows whose gate is 0 are not given.

Axes: ``b`` image of the batch, ``h w`` space, ``m`` pixel of the batch, ``k`` input and ``c`` output channel, ``r``
row.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from supernet.fused.cpu.library import library
from supernet.ops import BatchNorm

ALONE = 1_000_000
"""Multiply-adds that one thread has computed before it would have met a second one; on a busy machine long before."""

SIDES = (1, 3, 5, 7)
"""Sides of a depthwise kernel that the C++ functions compute."""


class Conv(NamedTuple):
    """One plane, and the convolutions that compute it: the C++ structure ``ConvRow``.

    From ``plane`` to ``s`` its fields are those of ``Output``, in their order.

    Attributes:
        side, dilation: of the depthwise kernel.
        depthwise, pointwise: weights, ``(k, 1, side, side)`` and ``(c, k, 1, 1)``.
        source: the plane that is read, ``(m, k)``, the statistics of its channels, and where its BatchNorm learns
            them its scale and shift, ``(k,)`` each; where there is none, the state is read.
        plane: ``(m, c)``, written by the forward pass.
        mean, rstd, variance: statistics of the plane's channels, ``(c,)``; written where they are given.
        running_mean, running_var: moved towards them, ``(c,)``.
        grad: the gradient ``g`` behind the plane's BatchNorm, ``(m, c)``; the plane's is ``a g + b y + s``.
        a, b, s: ``(c,)`` each.
        back: the gradient behind the source's BatchNorm, ``(m, k)``, the coefficients ``a``, ``b``, ``s`` of the
            source's, and the gradients of its scale and shift, ``(k,)`` each; written by the backward pass.
        depthwise_grad, pointwise_grad: gradients of the weights, in their shape, written; of all rows or of none.
    """

    side: int
    dilation: int
    depthwise: Tensor
    pointwise: Tensor
    plane: Tensor | None = None
    mean: Tensor | None = None
    rstd: Tensor | None = None
    variance: Tensor | None = None
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    grad: Tensor | None = None
    a: Tensor | None = None
    b: Tensor | None = None
    s: Tensor | None = None
    source: Tensor | None = None
    source_mean: Tensor | None = None
    source_rstd: Tensor | None = None
    source_scale: Tensor | None = None
    source_shift: Tensor | None = None
    back: Tensor | None = None
    back_a: Tensor | None = None
    back_b: Tensor | None = None
    back_s: Tensor | None = None
    scale_grad: Tensor | None = None
    shift_grad: Tensor | None = None
    depthwise_grad: Tensor | None = None
    pointwise_grad: Tensor | None = None


Convs = Sequence[Conv] | npt.NDArray[np.int64]
"""Rows of a launch; or a table of numbers and addresses, whose columns are the fields of ``Conv``."""


class PoolTerm(NamedTuple):
    """A pooled term of a node, in the backward pass: the C++ structure ``PoolTerm``.

    Attributes:
        average: 1 for an average, 0 for a maximum.
        plane, grad: the pooled state and its node's gradient, ``(m, c)``.
        a, b, s: as in ``Conv``.
    """

    average: int
    plane: Tensor
    grad: Tensor
    a: Tensor
    b: Tensor
    s: Tensor


def convs_forward(x: Tensor, rows: Convs, stride: int = 1) -> None:
    """Write each row's plane and its statistics, where they are wanted.

    Args:
        x: the state, ``(b, h, w, k)``; of second halves, one of their sources.
    """
    _call("convs_forward", x, _convs_work(x, rows), _shape(x, stride), x, _structures(rows), len(rows), _norm())


def convs_backward(
    x: Tensor,
    out: Tensor | None,
    rows: Convs,
    stride: int = 1,
    *,
    add: bool = True,
    training: bool = True,
) -> None:
    """Add the gradient of a state to ``out``, or write those behind the rows' sources; and the weights' gradients.

    Args:
        x: as in ``convs_forward``.
        out: ``(b, h, w, k)``; none for second halves.
        add: whether ``out`` has values already.
        training: whether the sources' statistics are the batch's own.
    """
    _call(
        "convs_backward",
        x,
        3 * _convs_work(x, rows),
        _shape(x, stride),
        x,
        out,
        _structures(rows),
        len(rows),
        int(add),
        int(training),
    )


class Pointwise(NamedTuple):
    """One 1x1 convolution of a state: the C++ structure ``Pointwise``.

    Attributes:
        shift: rows and columns by which the state is shifted.
        first, channels: of its output channels among those of the plane, and their number.
        weight: ``(c, k, 1, 1)``; ``weight_grad``: its gradient, written by the backward pass.
    """

    shift: int
    first: int
    channels: int
    weight: Tensor
    weight_grad: Tensor | None = None


class Output(NamedTuple):
    """The plane that 1x1 convolutions write: the C++ structure ``Output``; fields as in ``Conv``."""

    plane: Tensor
    mean: Tensor | None = None
    rstd: Tensor | None = None
    variance: Tensor | None = None
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    grad: Tensor | None = None
    a: Tensor | None = None
    b: Tensor | None = None
    s: Tensor | None = None


def pointwise_forward(x: Tensor, convs: Sequence[Pointwise], output: Output, stride: int) -> None:
    """Write the plane of 1x1 convolutions of ReLU of ``x``, ``(b, h, w, k)``, and its statistics, if wanted."""
    given = _structures(convs), len(convs), _width(x, convs), _structures([output]), _norm()
    _call("pointwise_forward", x, x.numel() * output.plane.shape[1], _sizes(x, output, stride), x, *given)


def pointwise_backward(x: Tensor, out: Tensor, convs: Sequence[Pointwise], output: Output, stride: int) -> None:
    """Write the gradient of ``x`` to ``out``, ``(b, h, w, k)``, and those of the weights, of all or of none."""
    given = _structures(convs), len(convs), _width(x, convs), _structures([output])
    _call("pointwise_backward", x, 2 * x.numel() * output.plane.shape[1], _sizes(x, output, stride), x, out, *given)


def pools_forward(
    x: Tensor, maxima: Tensor | None, averages: Tensor | None, places: Tensor, statistics: Tensor | None, stride: int
) -> None:
    """Write the pooled state, 3x3, and its statistics, where they are wanted.

    Args:
        x: ``(b, h, w, c)``.
        maxima, averages: ``(m, c)``, each where it is wanted.
        places: the tap of each maximum, ``(m, c)``, uint8.
        statistics: mean, 1 / std and unbiased variance of both, ``(2, 3, c)``.
    """
    _call("pools_forward", x, 20 * x.numel(), _shape(x, stride), x, maxima, averages, places, statistics, _norm())


def pools_backward(terms: Sequence[PoolTerm], places: Tensor, out: Tensor, stride: int) -> None:
    """Add the gradient of a state through its pools to ``out``, ``(b, h, w, c)``."""
    _call("pools_backward", out, 20 * out.numel(), _shape(out, stride), _structures(terms), len(terms), places, out)


def combine_forward(out: Tensor, terms: Sequence[Tensor], scales: Tensor, shift: Tensor) -> None:
    """Write a node, ``(m, c)``: ``shift`` plus the terms, ``(m, c)`` each, times ``scales``, ``(r, c)``."""
    sizes, work = (len(terms), *out.shape), 4 * len(terms) * out.numel()
    _call("combine_forward", out, work, out, _addresses(terms), scales, shift, *sizes)


def combine_sums(grad: Tensor, terms: Sequence[Tensor], means: Tensor, images: int) -> Tensor:
    """Return the sums of ``g (y - mean)`` for each term ``y``, and last that of ``g``, ``(r + 1, c)``.

    Args:
        grad: the node's gradient ``g``, ``(m, c)``.
        terms: ``(m, c)`` each; means: ``(r, c)``.
        images: number of images in the batch.
    """
    pixels, channels = grad.shape
    sums = grad.new_empty(images, len(terms) + 1, channels)
    sizes = len(terms), images, pixels // images, channels
    _call("combine_sums", grad, 4 * len(terms) * grad.numel(), grad, _addresses(terms), means, sums, *sizes)
    return sums.sum(0, dtype=torch.float64).to(grad.dtype)


def _convs_work(x: Tensor, rows: Convs) -> int:
    return len(rows) * x.numel() * (16 + x.shape[3])


def _call(name: str, like: Tensor, work: int, *arguments: Any) -> None:
    """Call a function.

    Args:
        like: has the type in which it computes.
        work: about how many multiply-adds it takes.
    """
    function = getattr(library(), f"{name}_{str(like.dtype).removeprefix('torch.')}")
    function(*(_argument(value) for value in arguments), _argument(torch.get_num_threads() if work > ALONE else 1))


def _argument(value: Any) -> Any:
    match value:
        case None:
            return ctypes.c_void_p(None)
        case Tensor():
            return ctypes.c_void_p(address(value))
        case int():
            return ctypes.c_int64(value)
    return value


def _shape(x: Tensor, stride: int) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * 5)(*x.shape, stride)


def address(tensor: Tensor) -> int:
    """Return where a tensor begins, which must be contiguous and on the CPU."""
    assert tensor.is_contiguous() and tensor.is_cpu, "the functions read memory as it lies"
    return tensor.data_ptr()


def _addresses(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(tensors))(*map(address, tensors))


def _sizes(x: Tensor, output: Output, stride: int) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * 6)(*x.shape, output.plane.shape[1], stride)


def _width(x: Tensor, convs: Sequence[Pointwise]) -> int:
    """Return the least number of channels that a vector must fit."""
    return min(x.shape[3], *(conv.channels for conv in convs))


def _structures(rows: Iterable[Conv | PoolTerm | Pointwise | Output] | npt.NDArray[np.int64]) -> Any:
    if isinstance(rows, np.ndarray):
        return rows.ctypes.data_as(ctypes.c_void_p)  # which keeps the table
    values = [address(value) if isinstance(value, Tensor) else value or 0 for row in rows for value in row]
    return (ctypes.c_int64 * len(values))(*values)


def _norm() -> ctypes.Array[ctypes.c_double]:
    return (ctypes.c_double * 2)(BatchNorm.eps, BatchNorm.momentum)
