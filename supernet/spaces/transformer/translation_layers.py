"""The layers among which a translation space chooses (after So et al. 2019), whose output width is a choice.

All but attention to the source read their own tokens; in a decoder they see none that comes later. Padding is read as
zeros.

Axes: ``b`` sentence, ``s`` token of the source, ``t`` token, ``d`` value of a token, ``n`` head, ``k`` position of a
kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from supernet.spaces.transformer.sizes import Sizes, linear


@dataclass(frozen=True)
class Context:
    """What layers see beside the tokens that they transform.

    Attributes:
        present: which tokens are no padding, ``(b, t)``.
        source, source_present: the encoder's output ``(b, s, d)``, and which of it is no padding; None in an encoder.
    """

    present: Tensor
    source: Tensor | None = None
    source_present: Tensor | None = None

    @property
    def causal(self) -> bool:
        """Whether tokens see only those before them: in a decoder."""
        return self.source is not None


class Layer(nn.Module):
    """The base class of layers: ``(b, t, d_in) -> (b, t, d_out)``.

    Args:
        c_in, c_out: largest widths; inputs may be narrower, and ``forward`` says the width of the output.
    """

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.out = nn.Linear(c_in, c_out)

    def forward(self, x: Tensor, context: Context, width: Sizes) -> Tensor:
        return width.weighted(self.project(self.mix(x, context), width.largest))

    def mix(self, x: Tensor, context: Context) -> Tensor:
        """Return what the last linear layer reads."""
        return x

    def project(self, x: Tensor, width: int) -> Tensor:
        """Return the last linear layer's output of a width."""
        return linear(self.out, x, width)


class Gated(Layer):
    """Gated linear unit (Dauphin et al. 2017)."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out)
        self.gate = nn.Linear(c_in, c_out)

    def project(self, x: Tensor, width: int) -> Tensor:
        return linear(self.out, x, width) * linear(self.gate, x, width).sigmoid()


class Convolution(Layer):
    """A full convolution over time."""

    def __init__(self, c_in: int, c_out: int, kernel: int):
        nn.Module.__init__(self)
        self.conv = nn.Conv1d(c_in, c_out, kernel)

    def forward(self, x: Tensor, context: Context, width: Sizes) -> Tensor:
        size, conv = width.largest, self.conv
        assert conv.bias is not None
        weight = conv.weight[:size, : x.shape[-1]]
        y = F.conv1d(_padded(x, context, conv.kernel_size[0]), weight, conv.bias[:size])
        return width.weighted(y.transpose(1, 2))


class SeparableConvolution(Layer):
    """A depthwise convolution over time, and a linear layer."""

    def __init__(self, c_in: int, c_out: int, kernel: int):
        super().__init__(c_in, c_out)
        self.depthwise = nn.Conv1d(c_in, c_in, kernel, groups=c_in, bias=False)

    def mix(self, x: Tensor, context: Context) -> Tensor:
        channels, conv = x.shape[-1], self.depthwise
        y = F.conv1d(_padded(x, context, conv.kernel_size[0]), conv.weight[:channels], groups=channels)
        return y.transpose(1, 2)


class LightConvolution(Layer):
    """A depthwise convolution of few kernels, each summing to 1, and a linear layer (Wu et al. 2019)."""

    SHARED = 4
    """Number of kernels; channels take them in turn."""

    def __init__(self, c_in: int, c_out: int, kernel: int):
        super().__init__(c_in, c_out)
        self.kernels = nn.Parameter(0.1 * torch.randn(self.SHARED, kernel))

    def mix(self, x: Tensor, context: Context) -> Tensor:
        channels = x.shape[-1]
        taken = torch.arange(channels, device=x.device) % self.SHARED
        weight = self.kernels.softmax(1)[taken, None]
        return F.conv1d(_padded(x, context, self.kernels.shape[1]), weight, groups=channels).transpose(1, 2)


class Attention(Layer):
    """Multi-head attention (Vaswani et al. 2017), to the own tokens or to the source.

    Args:
        c_in, c_out: as of ``Layer``.
        heads: their number; they share ``c_in``, and have a width of 1 at least.
        source: width of the encoder's output, where that is attended to.
    """

    def __init__(self, c_in: int, c_out: int, heads: int, source: int | None = None):
        inner = heads * max(1, c_in // heads)
        super().__init__(inner, c_out)
        self.heads, self.to_source = heads, source is not None
        self.query = nn.Linear(c_in, inner)
        self.key, self.value = (nn.Linear(source or c_in, inner) for _ in range(2))

    def mix(self, x: Tensor, context: Context) -> Tensor:
        read, present = (context.source, context.source_present) if self.to_source else (x, context.present)
        assert read is not None and present is not None
        q, k, v = (
            rearrange(layer(tokens), "b t (n d) -> b n t d", n=self.heads)
            for layer, tokens in ((self.query, x), (self.key, read), (self.value, read))
        )
        mask = present[:, None, None, :]
        if context.causal and not self.to_source:
            length = x.shape[1]
            mask = mask & torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        return rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b n t d -> b t (n d)")


def _padded(x: Tensor, context: Context, kernel: int) -> Tensor:
    """Return tokens ``(b, d, t + k - 1)`` for a convolution: zeros before, and in an encoder half of them behind."""
    behind = 0 if context.causal else kernel // 2
    return F.pad((x * context.present[..., None]).transpose(1, 2), (kernel - 1 - behind, behind))


def _attention(c_in: int, c_out: int, heads: int) -> Attention:
    return Attention(c_in, c_out, heads, source=c_in)


LAYERS: dict[str, Callable[[int, int], Layer]] = {
    "dense": Layer,
    "gated": Gated,
    **{f"conv_{kernel}": partial(Convolution, kernel=kernel) for kernel in (3,)},
    **{f"sep_conv_{kernel}": partial(SeparableConvolution, kernel=kernel) for kernel in (3, 7, 9, 11)},
    **{f"light_conv_{kernel}": partial(LightConvolution, kernel=kernel) for kernel in (3, 7)},
    **{f"attention_{heads}": partial(Attention, heads=heads) for heads in (4, 8, 16)},
    **{f"source_attention_{heads}": partial(_attention, heads=heads) for heads in (4, 8, 16)},
}
"""Layers by name: (c_in, c_out) -> layer. Those of ``source_attention`` are of a decoder."""

POST = ("dense", "sep_conv_3", "sep_conv_7", "sep_conv_9", "sep_conv_11")
"""Layers that may follow the sum of two branches."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "swish": F.silu,
    "leaky_relu": F.leaky_relu,
}
"""Activations by name; all map 0 to 0."""
