"""Vision transformers (Dosovitskiy et al. 2021), of fixed sizes and of sizes weighted by gates.

Layers are those of torchvision's networks: a class token, learned positions, LayerNorm before each branch, GELU. In
place of attention a block may mix tokens by a depthwise convolution over their grid, whose mean the class token reads.

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``t`` token (the class token first), ``d`` value of a token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from genotypes.types.vision_transformer import TransformerBlock, VisionTransformerGenotype
from supernet.shapes import ImageShape
from supernet.spaces.transformer.sizes import Sizes, central, fixed, linear, normalized

EPSILON = 1e-6
"""Of LayerNorm, as in torchvision's networks."""


def hidden_width(width: int, ratio: float) -> int:
    """Return the width between the two layers of a block."""
    return max(1, int(width * ratio))


class PatchEmbedding(nn.Module):
    """Tokens of an image: ``(b, c, h, w) -> (b, 1 + (h / patch) (w / patch), d)``."""

    def __init__(self, shape: ImageShape, patch: int, width: int):
        super().__init__()
        self.patches = nn.Conv2d(shape.channels, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, width))
        self.positions = nn.Parameter(torch.empty(1 + (shape.size // patch) ** 2, width).normal_(std=0.02))

    def forward(self, x: Tensor, width: Sizes | None = None) -> Tensor:
        width = width or fixed(self.class_token.shape[1])
        size, conv = width.largest, self.patches
        assert conv.bias is not None
        whole = size == conv.out_channels
        grid = conv(x) if whole else F.conv2d(x, conv.weight[:size], conv.bias[:size], conv.stride)
        grid = grid.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token[:, :size].to(grid).expand(len(x), 1, size), grid], 1)
        return width.weighted(tokens + self.positions[:, :size])


class Branch(nn.Module, ABC):
    """LayerNorm and what follows it: attention, a convolution, or two linear layers; ``(b, t, d) -> (b, t, d)``."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, EPSILON)

    def forward(self, x: Tensor, width: Sizes | None = None, sizes: Sizes | None = None) -> Tensor:
        """Return the branch's output, to be added to ``x``.

        Args:
            x: tokens of the largest of the widths.
            width: of the tokens; by default the layers'.
            sizes: of the branch: heads, kernels or widths between its layers; by default the layers'.
        """
        width = width or fixed(self.norm.weight.shape[0])
        return width.weighted(self.mix(normalized(self.norm, x, width), width, sizes))

    @abstractmethod
    def mix(self, x: Tensor, width: Sizes, sizes: Sizes | None) -> Tensor:
        """Return the output of the layers behind the LayerNorm."""


class Attention(Branch):
    """Multi-head self-attention (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, head_width: int):
        super().__init__(width)
        self.heads, self.head_width = heads, head_width
        inner = heads * head_width
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)

    def mix(self, x: Tensor, width: Sizes, sizes: Sizes | None) -> Tensor:
        sizes = (sizes or fixed(self.heads)).times(self.head_width)
        q, k, v = (
            rearrange(linear(layer, x, sizes.largest), "b t (n d) -> b n t d", d=self.head_width)
            for layer in (self.query, self.key, self.value)
        )
        y = rearrange(F.scaled_dot_product_attention(q, k, v), "b n t d -> b t (n d)")
        return linear(self.out, sizes.weighted(y), width.largest, sizes)


class Convolution(Branch):
    """A depthwise convolution over the grid of tokens, GELU, and a linear layer."""

    def __init__(self, width: int, kernel: int):
        super().__init__(width)
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.out = nn.Linear(width, width)

    def mix(self, x: Tensor, width: Sizes, sizes: Sizes | None) -> Tensor:
        conv, channels = self.depthwise, width.largest
        sizes = sizes or fixed(conv.kernel_size[0])
        assert conv.bias is not None
        side = round((x.shape[1] - 1) ** 0.5)
        grid = rearrange(x[:, 1:], "b (h w) d -> b d h w", h=side)
        if sizes.gates is None and (channels, sizes.largest) == (conv.out_channels, conv.kernel_size[0]):
            y = conv(grid)
        else:
            kernels, bias = central(conv.weight[:channels], sizes), sizes.total(conv.bias[:channels])
            y = F.conv2d(grid, kernels, bias, padding=sizes.largest // 2, groups=channels)
        y = y.flatten(2).transpose(1, 2)
        y = F.gelu(torch.cat([y.mean(1, keepdim=True), y], 1))
        return linear(self.out, width.weighted(y), channels, width)


class FeedForward(Branch):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__(width)
        self.expand, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def mix(self, x: Tensor, width: Sizes, sizes: Sizes | None) -> Tensor:
        sizes = sizes or fixed(self.expand.out_features)
        y = sizes.weighted(F.gelu(linear(self.expand, x, sizes.largest)))
        return linear(self.out, y, width.largest, sizes)


def mixer_of(width: int, head_width: int, name: str, size: int) -> Branch:
    """Return the branch that mixes tokens; ``name`` is a key of ``genotypes.types.vision_transformer.MIXERS``."""
    return Attention(width, size, head_width) if name == "attention" else Convolution(width, size)


class Classifier(nn.Module):
    """LayerNorm and a linear layer: class tokens ``(b, d) -> (b, classes)``."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width, EPSILON), nn.Linear(width, classes)

    def forward(self, x: Tensor, width: Sizes | None = None) -> Tensor:
        x = normalized(self.norm, x, width or fixed(x.shape[-1]))
        return linear(self.linear, x, self.linear.out_features)


@dataclass(frozen=True)
class BlockSizes:
    """The gates of a block: name of each mixer -> its gate and its sizes; the widths of the feed-forward branch."""

    mixers: Mapping[str, tuple[Tensor, Sizes]]
    hidden: Sizes


class Block(nn.Module):
    """A block of two branches, each added to its input."""

    def __init__(self, mixers: Mapping[str, Branch], feed_forward: FeedForward):
        super().__init__()
        self.mixers = nn.ModuleDict(mixers)
        self.feed_forward = feed_forward

    def forward(self, x: Tensor, width: Sizes | None = None, sizes: BlockSizes | None = None) -> Tensor:
        """Return the block's output; without ``sizes`` its one mixer and all of its width."""
        if sizes is None:
            (mixer,) = self.mixers.values()
            mixed = mixer(x)
        else:
            terms = [gate.to(x) * self.mixers[name](x, width, own) for name, (gate, own) in sizes.mixers.items()]
            mixed = sum(terms[1:], start=terms[0])
        x = x + mixed
        return x + self.feed_forward(x, width, sizes.hidden if sizes else None)


class VisionTransformer(nn.Module):
    """Tokens of patches, blocks, and a classifier of the class token.

    Args:
        embeddings: side of a patch -> its embedding; one where nothing is chosen.
        blocks: from the first to the last.
        classifier: reads the class token.
    """

    def __init__(self, embeddings: Mapping[int, PatchEmbedding], blocks: Iterable[Block], classifier: Classifier):
        super().__init__()
        self.embeddings = nn.ModuleDict({str(patch): each for patch, each in embeddings.items()})
        self.blocks = cast(Sequence[Block], nn.ModuleList(blocks))
        self.classifier = classifier
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, ``(b, classes)``, of images ``(b, c, h, w)``."""
        (embedding,) = self.embeddings.values()
        x = embedding(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x[:, 0])


def network_of(genotype: VisionTransformerGenotype, shape: ImageShape) -> VisionTransformer:
    """Return the network of a genotype, whose patches divide the images."""
    width = genotype.width

    def block(sizes: TransformerBlock) -> Block:
        mixer = mixer_of(width, genotype.head_width, sizes.mixer, sizes.size)
        return Block({sizes.mixer: mixer}, FeedForward(width, hidden_width(width, sizes.ratio)))

    embeddings = {genotype.patch: PatchEmbedding(shape, genotype.patch, width)}
    return VisionTransformer(embeddings, map(block, genotype.blocks), Classifier(width, shape.classes))
