"""Candidate operations on images: one table from name to factory.

Definitions follow DARTS (Liu et al. 2019, section 3.1 and its code): convolutions without bias, ReLU before and
BatchNorm after them, the same number of channels in and out. In derived networks BatchNorm learns a scale and a shift;
in a supernet it does not, since the gate is the scale.

Axes: ``b`` batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Average(Protocol):
    """The mean of a tensor over ``ranks`` processes with equally many images each; differentiable."""

    ranks: int

    def __call__(self, x: Tensor) -> Tensor: ...


def over_ranks(mean: Tensor, average: Average | None) -> Tensor:
    """Return the mean over the images of all processes, from that over this one's; unchanged without ``average``."""
    return mean if average is None else average(mean)


class BatchNorm(nn.Module):
    """Batch normalization of ``(b, c, h, w)`` over everything but ``c`` (Ioffe and Szegedy 2015).

    The same as ``nn.BatchNorm2d`` without its count of batches, which is one tensor less for each of the hundreds in a
    supernet.

    Attributes:
        average: where set, training takes the statistics over the images of all processes.
    """

    eps = 1e-5
    momentum = 0.1
    average: Average | None = None
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, affine: bool = True):
        super().__init__()
        self.register_parameter("weight", nn.Parameter(torch.ones(channels)) if affine else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(channels)) if affine else None)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.average is not None:
            return self._synchronized(x, self.average)
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            weight=self.weight,
            bias=self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )

    def _synchronized(self, x: Tensor, average: Average) -> Tensor:
        exact = x.to(self.running_mean.dtype)
        mean = average(exact.mean((0, 2, 3)))
        centred = exact - mean[:, None, None]
        variance = average(centred.square().mean((0, 2, 3)))
        pixels = average.ranks * x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (pixels / max(pixels - 1, 1)), self.momentum)
        y = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.weight is not None and self.bias is not None:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)


class Fusable(nn.Module):
    """A layer that fused kernels can compute (``supernet.fused``).

    Attributes:
        kernels: computes the output from the input and this module; PyTorch's operations where not set.
        op: the operations, one after the other.
    """

    kernels: Callable[[Tensor, Any], Tensor] | None = None
    op: nn.Sequential

    def forward(self, x: Tensor) -> Tensor:
        return self.composed(x) if self.kernels is None or x.is_meta else self.kernels(x, self)

    def composed(self, x: Tensor) -> Tensor:
        """Return the output by PyTorch's operations."""
        return self.op(x)


def fusable_layers(network: nn.Module) -> list[Fusable]:
    """Return the layers of a network that fused kernels can compute, in the order of its modules."""
    return [module for module in network.modules() if isinstance(module, Fusable)]


class ReLUConvBN(Fusable):
    """ReLU, 1x1 convolution, BatchNorm: ``(b, c_in, h, w) -> (b, c_out, h, w)``."""

    def __init__(self, c_in: int, c_out: int, affine: bool = True):
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), BatchNorm(c_out, affine))


class HalvingConv(nn.Conv2d):
    """A 1x1 convolution of stride 2.

    On processors with AVX2 but no AVX-512, oneDNN's weight gradient of such a convolution writes past its buffer where
    the number of input channels is not a multiple of 8, its vector length (``jit_1x1:avx2``, channels-last; PyTorch
    2.14). For such inputs the image is subsampled first, and the convolution has stride 1.
    """

    def __init__(self, c_in: int, c_out: int, bias: bool = False):
        super().__init__(c_in, c_out, 1, stride=2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.shape[1] % 8:
            return F.conv2d(x[:, :, ::2, ::2], self.weight, self.bias)
        return super().forward(x)


class FactorizedReduce(Fusable):
    """Halve the size by two 1x1 convolutions of stride 2, the second on the image shifted by one row and column.

    ``(b, c_in, h, w) -> (b, c_out, ceil(h / 2), ceil(w / 2))``. An odd size is padded by one row or column of zeros, so
    that both convolutions have outputs of one size.
    """

    def __init__(self, c_in: int, c_out: int, affine: bool = True):
        super().__init__()
        self.conv_1 = HalvingConv(c_in, c_out // 2)
        self.conv_2 = HalvingConv(c_in, c_out - c_out // 2)
        self.bn = BatchNorm(c_out, affine)

    def composed(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        if x.device.type == "cuda" and not (x.shape[2] % 2 or x.shape[3] % 2):
            return self.bn(self.by_phases(x))
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted(x))], dim=1))

    def by_phases(self, x: Tensor) -> Tensor:
        """Return both convolutions of an image of even size by one product of matrices.

        Its factor holds the four pixels of each square side by side, two of which have weights of 0. The backward pass
        puts them back by one copy, where those of two slices would fill, copy and add whole images.
        """
        squares = x.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3).flatten(3)
        first, second = self.conv_1.weight.flatten(1), self.conv_2.weight.flatten(1)
        channels = x.shape[1]
        weight = torch.cat([F.pad(first, (0, 3 * channels)), F.pad(second, (3 * channels, 0))])
        return F.linear(squares, weight).permute(0, 3, 1, 2)


def shifted(x: Tensor) -> Tensor:
    """Return the image from its second row and column on; an odd size is first padded with zeros at the far end."""
    h, w = x.shape[2:]
    if h % 2 or w % 2:
        x = F.pad(x, (0, w % 2, 0, h % 2))
    return x[:, :, 1:, 1:]


class Separable(Fusable):
    """ReLU, depthwise and pointwise convolution, BatchNorm; once, or twice."""


class SepConv(Separable):
    """Depthwise-separable convolution, applied twice; the stride belongs to the first."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True):
        super().__init__()
        first = _separable(channels, kernel, stride=stride, dilation=1, affine=affine)
        second = _separable(channels, kernel, stride=1, dilation=1, affine=affine)
        self.op = nn.Sequential(*first, *second)


class DilConv(Separable):
    """Depthwise-separable convolution with dilation 2, applied once."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True):
        super().__init__()
        self.op = nn.Sequential(*_separable(channels, kernel, stride=stride, dilation=2, affine=affine))


def _separable(channels: int, kernel: int, *, stride: int, dilation: int, affine: bool) -> tuple[nn.Module, ...]:
    padding = dilation * (kernel // 2)
    return (
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        BatchNorm(channels, affine),
    )


class NorConv(nn.Module):
    """ReLU, a full convolution, BatchNorm, as in NAS-Bench-201 (Dong and Yang 2020).

    As in the authors' code, the convolution has a bias where BatchNorm learns none.
    """

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True):
        super().__init__()
        if kernel == 1 and stride == 2:
            conv: nn.Conv2d = HalvingConv(channels, channels, bias=not affine)
        else:
            conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, bias=not affine)
        self.op = nn.Sequential(nn.ReLU(), conv, BatchNorm(channels, affine))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Zero(nn.Module):
    """No connection: zeros of the output's size."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class RandomModule(nn.Module):
    """A module that draws random numbers.

    Attributes:
        generator: on the input's device (``draw_noise_from``); PyTorch's default where not set.
    """

    generator: torch.Generator | None = None


class Noise(RandomModule):
    """Standard normal numbers of the output's size, whatever the input (Zela et al. 2020, section 3, space S4).

    A candidate that no architecture should have.
    """

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.empty_like(x[:, :, :: self.stride, :: self.stride]).normal_(generator=self.generator)


def draw_noise_from(generator: torch.Generator, network: nn.Module) -> None:
    """Let every ``RandomModule`` of a network draw from one generator."""
    for module in network.modules():
        if isinstance(module, RandomModule):
            module.generator = generator


def _conv_7x1_1x7(channels: int, stride: int, affine: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), stride=(1, stride), padding=(0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), stride=(stride, 1), padding=(3, 0), bias=False),
        BatchNorm(channels, affine),
    )


SKIP = "skip_connect"
"""The name of the skip connection in every space."""


@dataclass(frozen=True)
class Operation:
    """A row of ``OPS``.

    Attributes:
        make: ``(channels, stride, affine) -> module`` that maps ``(b, c, h, w)`` to ``(b, c, ceil(h / stride),
            ceil(w / stride))``; ``affine``: whether its BatchNorm learns a scale and a shift.
        norm_in_supernet: whether a supernet puts a BatchNorm behind it (DARTS, section 3.1: behind pooling), so that
            candidates of equal gates contribute equally.
    """

    make: Callable[[int, int, bool], nn.Module]
    norm_in_supernet: bool = False


OPS: dict[str, Operation] = {
    "none": Operation(lambda c, stride, affine: Zero(stride)),
    "max_pool_3x3": Operation(lambda c, stride, affine: nn.MaxPool2d(3, stride, 1), norm_in_supernet=True),
    "avg_pool_3x3": Operation(
        lambda c, stride, affine: nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm_in_supernet=True
    ),
    SKIP: Operation(lambda c, stride, affine: nn.Identity() if stride == 1 else FactorizedReduce(c, c, affine)),
    "sep_conv_3x3": Operation(lambda c, stride, affine: SepConv(c, 3, stride, affine)),
    "sep_conv_5x5": Operation(lambda c, stride, affine: SepConv(c, 5, stride, affine)),
    "sep_conv_7x7": Operation(lambda c, stride, affine: SepConv(c, 7, stride, affine)),
    "dil_conv_3x3": Operation(lambda c, stride, affine: DilConv(c, 3, stride, affine)),
    "dil_conv_5x5": Operation(lambda c, stride, affine: DilConv(c, 5, stride, affine)),
    "conv_7x1_1x7": Operation(_conv_7x1_1x7),
    "noise": Operation(lambda c, stride, affine: Noise(stride)),
    "nor_conv_1x1": Operation(lambda c, stride, affine: NorConv(c, 1, stride, affine)),
    "nor_conv_3x3": Operation(lambda c, stride, affine: NorConv(c, 3, stride, affine)),
}
"""Every candidate operation on images by its name in genotypes."""


def derived(name: str, channels: int, stride: int) -> nn.Module:
    """Return an operation of a derived network: BatchNorm with scale and shift."""
    return OPS[name].make(channels, stride, True)


def candidate(name: str, channels: int, stride: int) -> nn.Module:
    """Return an operation of a supernet: BatchNorm without scale and shift, also behind pooling."""
    op = OPS[name].make(channels, stride, False)
    return nn.Sequential(op, BatchNorm(channels, False)) if OPS[name].norm_in_supernet else op
