"""The blocks of mobile networks: inverted residuals with depthwise convolutions (Sandler et al. 2018, section 3).

With squeeze-and-excitation (Hu et al. 2018) and hard-swish they are those of MobileNetV3 (Howard et al. 2019) and
EfficientNet (Tan and Le 2019).

Axes: ``b`` batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from supernet.ops import BatchNorm, HalvingConv

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "hard_swish": nn.Hardswish, "silu": nn.SiLU}
"""Activations by name."""


class ConvBN(nn.Sequential):
    """A convolution without bias, BatchNorm, and an activation where one is named: ``(b, c_in, h, w) -> (b, c_out, h,
    w)``."""

    def __init__(
        self, c_in: int, c_out: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, activation: str = ""
    ):
        if (kernel, stride) == (1, 2):
            conv: nn.Conv2d = HalvingConv(c_in, c_out)
        else:
            conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, BatchNorm(c_out), *([ACTIVATIONS[activation]()] if activation else []))


class SqueezeExcitation(nn.Module):
    """Each channel times a gate, which follows from the means of all channels (Hu et al. 2018, section 3).

    Args:
        channels: of the input.
        squeezed: channels between the two layers.
        activation: between the two layers.
        gate: behind them.
    """

    def __init__(self, channels: int, squeezed: int, activation: nn.Module, gate: nn.Module):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(self.activation(self.squeeze(means))))


@dataclass(frozen=True)
class Inverted:
    """The options of an inverted residual.

    Attributes:
        kernel: of the depthwise convolution.
        hidden: channels of the depthwise convolution.
        activation: a row of ``ACTIVATIONS``.
        squeeze: builds what follows the depthwise convolution, from its channels; nothing where not given.
    """

    kernel: int
    hidden: int
    activation: str = "relu"
    squeeze: Callable[[int], nn.Module] | None = None


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels, depthwise convolution, 1x1 convolution.

    ``(b, c_in, h, w) -> (b, c_out, ceil(h / stride), ceil(w / stride))``.
    The input is added where the shapes agree. The first convolution is left out where the number of channels stays.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, options: Inverted):
        super().__init__()
        hidden, act = options.hidden, options.activation
        first = [ConvBN(c_in, hidden, activation=act)] if hidden != c_in else []
        depthwise = ConvBN(hidden, hidden, kernel=options.kernel, stride=stride, groups=hidden, activation=act)
        squeeze = [options.squeeze(hidden)] if options.squeeze else []
        self.layers = nn.Sequential(*first, depthwise, *squeeze, ConvBN(hidden, c_out))
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.shortcut else y


def divisible(channels: float, by: int = 8) -> int:
    """Return a number of channels rounded to a multiple, not more than a tenth below (MobileNetV2's rule)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
