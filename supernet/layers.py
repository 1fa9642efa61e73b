"""PyTorch's layers whose sizes may be choices (``supernet.value_choice``).

In a supernet a layer has the weights of its largest size, which all sizes share. A width keeps the first channels and
sets the others to 0, weighted by gates (channel masking, Wan et al. 2020); a kernel size keeps the centre of the kernel
(Stamoulis et al. 2019). Both equal the sum over the candidates of gate times output. What only
candidates with gate 0 compute takes no part: it is 0 for the layers that follow, and changes no running statistics. So
a supernet under one-hot gates computes what the derived network does, whose layers are PyTorch's own.

Axes: ``b`` example, ``c`` channel, ``h w`` space, ``f`` feature, ``n`` number of a value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet.errors import SpaceError
from supernet.value_choice import Kept, Sized, Value, combinations, value_of


class SizedLayer(nn.Module, ABC):
    """The base class of layers with sizes that may be choices.

    Args:
        sizes: on which the layer depends.
    """

    def __init__(self, *sizes: Sized):
        super().__init__()
        self.sizes = tuple(map(value_of, sizes))
        self.choices = nn.ModuleList(dict.fromkeys(choice for size in self.sizes for choice in size.choices))

    @abstractmethod
    def decided(self, kept: Kept, fresh: bool = False) -> nn.Module:
        """Return PyTorch's layer of the chosen sizes, with its part of this layer's weights.

        Args:
            kept: label -> name, of all choices that the layer depends on.
            fresh: whether the weights are to be trained from scratch: they are scaled to the deviation with which
                PyTorch initializes a layer of this size.
        """

    @abstractmethod
    def part_of(self, x: Tensor, kept: Kept) -> Tensor:
        """Return the part of an input of the supernet that the chosen layer gets."""

    def cases(self) -> list[dict[str, tuple[str]]]:
        """Return every combination of the choices that the layer depends on."""
        return list(combinations(self.sizes))


class Linear(SizedLayer):
    """A linear layer.

    Args:
        in_features, out_features: numbers, choices or values of choices. Where an image is flattened before the layer,
            ``in_features`` is the number of its channels times its size.
        bias: whether there is one.

    Raises:
        SpaceError: where a size is no whole number from 1.
    """

    def __init__(self, in_features: Sized, out_features: Sized, bias: bool = True):
        super().__init__(in_features, out_features)
        self.inputs, self.outputs = (_whole(size, "Linear") for size in self.sizes)
        largest = nn.Linear(int(self.inputs.largest), int(self.outputs.largest), bias)
        self.weight, self.bias = largest.weight, largest.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(..., f)`` of ``(..., f)``."""
        x = x * _live(self.inputs, x, -1) if self.inputs.choices else x
        y = F.linear(x, self.weight, self.bias)
        return y * _mask(self.outputs, y, -1) if self.outputs.choices else y

    def decided(self, kept: Kept, fresh: bool = False) -> nn.Linear:
        inputs, outputs = int(self.inputs.of(kept)), int(self.outputs.of(kept))
        made = _empty(nn.Linear, self.weight, inputs, outputs, bias=self.bias is not None)
        scale = math.sqrt(self.weight.shape[1] / inputs) if fresh else 1.0
        return _filled(made, self.training, {"weight": self.weight[:outputs, :inputs], "bias": self.bias}, scale)

    def part_of(self, x: Tensor, kept: Kept) -> Tensor:
        return x[..., : int(self.inputs.of(kept))]


class Conv2d(SizedLayer):
    """A convolution.

    Args:
        in_channels, out_channels: numbers, choices or values of choices.
        kernel_size: the same; of several kernels all are odd, and ``padding`` is ``"same"``.
        stride: of the convolution.
        padding: a number, or ``"same"`` for half the kernel, which leaves the size to the stride.
        groups: 1; or ``in_channels`` for a depthwise convolution, with ``out_channels`` the same.
        bias: whether there is one.

    Raises:
        SpaceError: where a size is no whole number from 1, or the arguments do not fit each other.
    """

    def __init__(
        self,
        in_channels: Sized,
        out_channels: Sized,
        kernel_size: Sized,
        stride: int = 1,
        padding: int | str = 0,
        groups: Sized = 1,
        bias: bool = True,
    ):
        super().__init__(in_channels, out_channels, kernel_size)
        self.inputs, self.outputs, self.kernel = (_whole(size, "Conv2d") for size in self.sizes)
        self.stride, self.padding, self.depthwise = stride, padding, value_of(groups).numbers != (1,)
        if self.depthwise and not value_of(groups) == self.inputs == self.outputs:
            raise SpaceError("Conv2d: `groups` must be 1, or equal to `in_channels` and `out_channels`")
        several = len(set(self.kernel.numbers)) > 1
        if several and (padding != "same" or any(number % 2 == 0 for number in self.kernel.numbers)):
            raise SpaceError("Conv2d: several sizes of a kernel must be odd, and `padding` 'same'")
        largest = nn.Conv2d(
            int(self.inputs.largest),
            int(self.outputs.largest),
            int(self.kernel.largest),
            groups=int(self.inputs.largest) if self.depthwise else 1,
            bias=bias,
        )
        self.weight, self.bias = largest.weight, largest.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(b, c, h, w)`` of ``(b, c, h, w)``."""
        weight, bias, side = self.weight, self.bias, int(self.kernel.largest)
        if self.kernel.choices:
            weight = weight * self.kernel.expected(lambda sizes: _centres(sizes, side).to(weight.dtype), weight)
            total = self.kernel.expected(lambda sizes: torch.ones_like(sizes, dtype=weight.dtype), weight)
            bias = None if bias is None else bias * total
        x = x * _live(self.inputs, x)[:, None, None] if self.inputs.choices else x
        groups = len(weight) if self.depthwise else 1
        y = F.conv2d(x, weight, bias, self.stride, self._padding(side), groups=groups)
        return y * _mask(self.outputs, y)[:, None, None] if self.outputs.choices else y

    def _padding(self, kernel: int) -> int:
        return kernel // 2 if isinstance(self.padding, str) else self.padding

    def decided(self, kept: Kept, fresh: bool = False) -> nn.Conv2d:
        inputs, outputs, side = (int(size.of(kept)) for size in (self.inputs, self.outputs, self.kernel))
        made = _empty(
            nn.Conv2d,
            self.weight,
            inputs,
            outputs,
            side,
            stride=self.stride,
            padding=self._padding(side),
            groups=inputs if self.depthwise else 1,
            bias=self.bias is not None,
        )
        edge = (self.weight.shape[-1] - side) // 2
        weight = self.weight[:outputs, : 1 if self.depthwise else inputs, edge : edge + side, edge : edge + side]
        scale = math.sqrt(self.weight[0].numel() / weight[0].numel()) if fresh else 1.0
        return _filled(made, self.training, {"weight": weight, "bias": self.bias}, scale)

    def part_of(self, x: Tensor, kept: Kept) -> Tensor:
        return x[:, : int(self.inputs.of(kept))]


class _BatchNorm(SizedLayer):
    """BatchNorm over the chosen channels.

    Args:
        num_features: a number, a choice or a value of choices.
        eps, momentum: as of PyTorch's.
    """

    running_mean: Tensor
    running_var: Tensor
    made: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]

    def __init__(self, num_features: Sized, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(num_features)
        (self.features,) = (_whole(size, "BatchNorm") for size in self.sizes)
        self.eps, self.momentum = eps, momentum
        largest = int(self.features.largest)
        self.weight, self.bias = nn.Parameter(torch.ones(largest)), nn.Parameter(torch.zeros(largest))
        self.register_buffer("running_mean", torch.zeros(largest))
        self.register_buffer("running_var", torch.ones(largest))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(b, c, ...)`` of ``(b, c, ...)``."""
        if self.training:
            self._note(x.detach())
            y = F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        else:
            y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        mask = _mask(self.features, x)
        return y * mask.view(-1, *[1] * (x.ndim - 2)) if self.features.choices else y

    @torch.no_grad()
    def _note(self, x: Tensor) -> None:
        """Update the running statistics of the channels that take part."""
        axes = [axis for axis in range(x.ndim) if axis != 1]
        share = self.momentum * _live(self.features, x)
        variance, mean = torch.var_mean(x.float(), axes)
        self.running_mean.lerp_(mean.to(self.running_mean), share.to(self.running_mean))
        self.running_var.lerp_(variance.to(self.running_var), share.to(self.running_var))

    def decided(self, kept: Kept, fresh: bool = False) -> nn.Module:
        features = int(self.features.of(kept))
        made = _empty(self.made, self.weight, features, eps=self.eps, momentum=self.momentum)
        tensors = {name: getattr(self, name) for name in ("weight", "bias", "running_mean", "running_var")}
        return _filled(made, self.training, tensors)

    def part_of(self, x: Tensor, kept: Kept) -> Tensor:
        return x[:, : int(self.features.of(kept))]


class BatchNorm1d(_BatchNorm):
    """BatchNorm of ``(b, c)`` or ``(b, c, t)``."""

    made = nn.BatchNorm1d


class BatchNorm2d(_BatchNorm):
    """BatchNorm of ``(b, c, h, w)``."""

    made = nn.BatchNorm2d


class Dropout(SizedLayer):
    """Dropout with a chosen probability; candidates share what they draw.

    Args:
        p: a number, a choice or a value of choices, in [0, 1).

    Raises:
        SpaceError: where a probability is none.
    """

    def __init__(self, p: Sized = 0.5):
        super().__init__(p)
        (self.p,) = self.sizes
        odd = [number for number in self.p.numbers if not 0 <= number < 1]
        if odd:
            raise SpaceError(f"Dropout: a probability is {odd[0]}; it must be in [0, 1)")

    def forward(self, x: Tensor) -> Tensor:
        draws = torch.rand_like(x) if self.training else x

        def kept(rates: Tensor) -> Tensor:
            rates = rates.to(x).view(-1, *[1] * x.ndim)
            return (draws >= rates) / (1 - rates) if self.training else torch.ones_like(rates)

        return x * self.p.expected(kept, x)

    def decided(self, kept: Kept, fresh: bool = False) -> nn.Dropout:
        return nn.Dropout(self.p.of(kept)).train(self.training)

    def part_of(self, x: Tensor, kept: Kept) -> Tensor:
        return x


def _whole(size: Value, layer: str) -> Value:
    odd = [number for number in size.numbers if number != int(number) or number < 1]
    if odd:
        raise SpaceError(f"{layer}: a size is {odd[0]}; it must be a whole number from 1")
    return size.map(int)


def _mask(size: Value, x: Tensor, axis: int = 1) -> Tensor:
    """Return the sum of the gates of the sizes to which each channel belongs, ``(c,)``."""
    places = torch.arange(x.shape[axis], device=x.device)
    return size.expected(lambda sizes: (sizes[:, None] > places).to(x.dtype), x)


def _live(size: Value, x: Tensor, axis: int = 1) -> Tensor:
    """Return 1 for each channel that belongs to a size whose gate is not 0, else 0, ``(c,)``."""
    return (_mask(size, x, axis).detach() != 0).to(x.dtype)


def _centres(sizes: Tensor, largest: int) -> Tensor:
    """Return which places of the largest kernel each size covers, ``(n, h, w)``."""
    distance = (torch.arange(largest, device=sizes.device) - largest // 2).abs()
    inside = distance <= (sizes[:, None] // 2)
    return (inside[:, :, None] & inside[:, None, :]).float()


def _empty(kind: Callable[..., nn.Module], like: Tensor, *sizes: int, **options: object) -> nn.Module:
    """Return a layer on the device of a tensor; nothing is drawn for its weights."""
    with torch.device("meta"):
        made = kind(*sizes, **options)
    return made.to(like.dtype).to_empty(device=like.device)


@torch.no_grad()
def _filled(made: nn.Module, training: bool, tensors: Mapping[str, Tensor | None], scale: float = 1.0):
    """Return a layer with the beginnings of tensors, scaled."""
    state = made.state_dict()
    for name, tensor in tensors.items():
        if tensor is not None:
            state[name].copy_(scale * tensor[: len(state[name])])
    if "num_batches_tracked" in state:
        state["num_batches_tracked"].zero_()
    return made.train(training)
