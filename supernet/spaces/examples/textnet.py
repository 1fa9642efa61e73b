"""A classifier of sentences with choices, after the Evolved Transformer (So et al. 2019): a model as a search space.

A block is the sum of two branches. Each branch chooses its layer (attention of 1, 2 or 4 heads, feed-forward, gated
linear unit, depthwise or full convolution over time, or none), and whether its input is added to the layer's output.

Axes: ``b`` sentence, ``t`` token, ``d`` width. Tokens of index 0 are padding.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from genotypes.types.choices import ChoicesGenotype
from supernet.layer_choice import LayerChoice
from supernet.shapes import TextShape
from supernet.spaces.modules import ModuleSpace, space_of_model
from supernet.spaces.space import SpaceEntry, SpaceOptions


class Attention(nn.Module):
    """Multi-head self-attention over the tokens that are not padding (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b t (three head d) -> three b head t d", three=3, head=self.heads)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=present[:, None, None, :])
        return self.out(rearrange(y, "b head t d -> b t (head d)"))


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them, where the width is four times as large."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        return self.layers(x)


class Gated(nn.Module):
    """Gated linear unit: one linear layer times the sigmoid of another (Dauphin et al. 2017)."""

    def __init__(self, width: int):
        super().__init__()
        self.both = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        return F.glu(self.both(x))


class TimeConvolution(nn.Module):
    """A convolution over time, full or depthwise-separable; padding counts as zeros."""

    def __init__(self, width: int, kernel: int, depthwise: bool):
        super().__init__()
        groups = width if depthwise else 1
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        self.point = nn.Linear(width, width) if depthwise else nn.Identity()

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        y = self.conv((x * present[..., None]).transpose(1, 2)).transpose(1, 2)
        return self.point(y.relu())


class Nothing(nn.Module):
    """Zeros: there is no layer."""

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        return x * 0.0


class Alone(nn.Module):
    """The output of a branch's layer, without its input."""

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y


class Residual(nn.Module):
    """The sum of a branch's input and the output of its layer."""

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y + x


class Branch(nn.Module):
    """A branch: normalization, a chosen layer, a chosen connection."""

    def __init__(self, width: int, label: str):
        super().__init__()
        layers: dict[str, nn.Module] = {f"attention_{heads}": Attention(width, heads) for heads in (1, 2, 4)}
        layers |= {"feed_forward": FeedForward(width), "gated": Gated(width)}
        layers |= {f"depthwise_{k}": TimeConvolution(width, k, True) for k in (3, 7)}
        layers |= {"convolution_3": TimeConvolution(width, 3, False), "nothing": Nothing()}
        self.norm = nn.LayerNorm(width)
        self.layer = LayerChoice(layers, f"{label}.layer")
        self.connection = LayerChoice({"residual": Residual(), "alone": Alone()}, f"{label}.connection")

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        return self.connection(self.layer(self.norm(x), present), x)


class TextNet(nn.Module):
    """A network of embedding, blocks of two branches, mean over the tokens, and linear head.

    Args:
        shape: of the sentences and the number of classes.
        width: of the embedding; a multiple of 4.
        layers: number of blocks.
    """

    blocks: Sequence[Sequence[Branch]]

    def __init__(self, shape: TextShape, width: int = 16, layers: int = 2):
        super().__init__()
        self.words = nn.Embedding(shape.words, width, padding_idx=0)
        self.places = nn.Parameter(0.02 * torch.randn(shape.length, width))
        blocks = nn.ModuleList(
            nn.ModuleList([Branch(width, f"block{k}.left"), Branch(width, f"block{k}.right")]) for k in range(layers)
        )
        self.blocks = cast(Sequence[Sequence[Branch]], blocks)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, shape.classes)

    def forward(self, words: Tensor) -> Tensor:
        """Return the logits of the classes, ``(b, classes)``, of tokens ``(b, t)``."""
        present = words != 0
        x = self.words(words) + self.places[: words.shape[1]]
        for left, right in self.blocks:
            x = left(x, present) + right(x, present)
        x = self.norm(x) * present[..., None]
        return self.classifier(x.sum(1) / present.sum(1, keepdim=True).clamp_min(1))


def _build(options: SpaceOptions) -> TextNet:
    return TextNet(options.shape, options.channels, options.layers)


def make(options: SpaceOptions) -> ModuleSpace:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set is of another kind, or the options do not apply.
    """
    return space_of_model(_build, options, TextShape, "sentences with labels")


ENTRY = SpaceEntry(make, ChoicesGenotype)
