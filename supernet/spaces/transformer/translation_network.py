"""Encoder-decoders of chosen blocks, of which the Evolved Transformer is one (So et al. 2019).

A cell is a sequence of blocks: four in the encoder, five in the decoder. A block normalizes its input, transforms it by
two branches, adds these, may transform the sum by one more layer, and adds its input. Branches of other widths than the
tokens' are filled with zeros, or cut.

Axes: ``b`` sentence, ``s`` token of the source, ``t`` token of the target, ``d`` value of a token, ``v`` vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product, repeat
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet.shapes import TranslationShape
from supernet.spaces.transformer.sizes import Sizes, fixed, mixed, normalized
from supernet.spaces.transformer.translation_layers import ACTIVATIONS, LAYERS, Context, Layer

PADDING = 0
"""Index of the padding after a sentence."""

BLOCKS: Mapping[str, int] = {"encoder": 4, "decoder": 5}
"""Blocks of a cell."""

NONE = "none"
"""In place of a layer: nothing is computed."""

Weighted = Sequence[tuple[str, Tensor | None]]
"""Candidates with their gates; None for a gate of 1 that is no decision."""


@dataclass(frozen=True)
class Branch:
    """The decisions of a branch, or of the layer behind the sum.

    Attributes:
        layers: names in ``LAYERS``, or ``NONE``.
        width: of its output.
        activations: names in ``ACTIVATIONS``.
    """

    layers: Weighted
    width: Sizes
    activations: Weighted = (("linear", None),)

    @property
    def widths(self) -> list[tuple[int, Tensor | None]]:
        """The widths with the gates of having them: 0 where there is no layer."""
        gates = self.width.gates or (None,) * len(self.width.sizes)
        found = [(0, gate) for name, gate in self.layers if name == NONE]
        there = [gate for name, gate in self.layers if name != NONE]
        if there:
            total = None if there[0] is None else _total([gate for gate in there if gate is not None])
            found += [(size, _product(total, gate)) for size, gate in zip(self.width.sizes, gates)]
        return found


@dataclass(frozen=True)
class BlockChoices:
    """The decisions of a block: its branches, what follows their sum, and whether that is normalized first."""

    left: Branch
    right: Branch
    post: Branch
    between: Weighted


class Block(nn.Module):
    """A block; it holds the layers of all candidates that it may be called with.

    Args:
        channels: width of the tokens.
        widths: largest width of the left branch, the right branch, and what follows the sum.
        layers: left, right, post -> names of layers.
        own: the decisions, where they are none.
    """

    def __init__(
        self,
        channels: int,
        widths: Mapping[str, int],
        layers: Mapping[str, Sequence[str]],
        own: BlockChoices | None = None,
    ):
        super().__init__()
        self.channels, self.own = channels, own
        reads = {"left": channels, "right": channels, "post": max(widths["left"], widths["right"])}
        self.norm = nn.LayerNorm(channels)
        for side, names in layers.items():
            made = {name: LAYERS[name](reads[side], widths[side]) for name in names if name != NONE}
            self.add_module(side, nn.ModuleDict(made))
        if own is None or any(name == "norm" for name, _ in own.between):
            self.between = nn.LayerNorm(reads["post"])

    def forward(self, x: Tensor, context: Context, choices: BlockChoices | None = None) -> Tensor:
        """Return tokens of the input's width."""
        choices = choices or self.own
        assert choices is not None, "a block of several candidates needs decisions"
        read = self.norm(x)
        sides = [self._branch(name, read, context, getattr(choices, name)) for name in ("left", "right")]
        pairs = product(choices.left.widths, choices.right.widths)
        widths = [(max(a, b), _product(g, h)) for (a, g), (b, h) in pairs]
        largest = max(size for size, _ in widths)
        summed = _total([_fitted(side, largest) for side in sides if side is not None])
        if summed is None:
            return x
        outputs = []
        for name, gate in choices.post.layers:
            if name == NONE:
                outputs.append(_times(gate, _fitted(summed, self.channels)))
        if any(name != NONE for name, _ in choices.post.layers):
            sized = mixed([(n, g) for n, g in widths if g is not None]) if widths[0][1] is not None else fixed(largest)
            between = [
                _times(gate, normalized(self.between, summed, sized) if name == "norm" else summed)
                for name, gate in choices.between
            ]
            found = self._branch("post", cast(Tensor, _total(between)), context, choices.post)
            outputs.append(_fitted(cast(Tensor, found), self.channels))
        return x + cast(Tensor, _total(outputs))

    def _branch(self, side: str, x: Tensor, context: Context, branch: Branch) -> Tensor | None:
        layers = cast(Mapping[str, Layer], getattr(self, side))
        found = [
            _times(gate, layers[name](x, context, branch.width)) for name, gate in branch.layers if name != NONE
        ]  # fmt: skip
        total = _total(found)
        if total is None:
            return None
        return _total([_times(gate, ACTIVATIONS[name](total)) for name, gate in branch.activations])


def _product(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first * second


def _times(gate: Tensor | None, x: Tensor) -> Tensor:
    return x if gate is None else gate.to(x) * x


def _total(terms: Sequence[Tensor]) -> Tensor | None:
    return sum(terms[1:], start=terms[0]) if terms else None


def _fitted(x: Tensor, width: int) -> Tensor:
    """Return tokens of a width: cut, or filled with zeros."""
    return x[..., :width] if x.shape[-1] >= width else F.pad(x, (0, width - x.shape[-1]))


Cells = Sequence[Sequence[Block]]


class TranslationNetwork(nn.Module):
    """An encoder-decoder.

    Args:
        shape: of the sentences.
        channels: width of the tokens.
        encoder, decoder: the cells, each a list of blocks.
    """

    def __init__(self, shape: TranslationShape, channels: int, encoder: Cells, decoder: Cells):
        super().__init__()
        self.channels = channels
        self.source_words = nn.Embedding(shape.source_words, channels, padding_idx=PADDING)
        self.target_words = nn.Embedding(shape.target_words, channels, padding_idx=PADDING)
        for words in (self.source_words, self.target_words):
            nn.init.normal_(words.weight, std=channels**-0.5)
        self.encoder = cast(Cells, nn.ModuleList(map(nn.ModuleList, encoder)))  # type: ignore[arg-type]
        self.decoder = cast(Cells, nn.ModuleList(map(nn.ModuleList, decoder)))  # type: ignore[arg-type]
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.classifier = nn.Linear(channels, shape.target_words)

    def encode(self, source: Tensor, choices: Sequence[BlockChoices] | None = None) -> Tensor:
        """Return the encoder's output ``(b, s, d)`` of sentences ``(b, s)``."""
        x = self._embedded(self.source_words, source)
        context = Context(source != PADDING)
        for cell in self.encoder:
            for block, chosen in zip(cell, choices or repeat(None)):
                x = block(x, context, chosen)
        return self.encoder_norm(x)

    def decode(
        self, target: Tensor, encoded: Tensor, present: Tensor, choices: Sequence[BlockChoices] | None = None
    ) -> Tensor:
        """Return the logits of the token that follows each, ``(b, t, v)``.

        Args:
            target: tokens so far, ``(b, t)``, the first that of the beginning.
            encoded: the encoder's output, ``(b, s, d)``.
            present: which tokens of the source are no padding, ``(b, s)``.
            choices: of the decoder's blocks.
        """
        x = self._embedded(self.target_words, target)
        context = Context(target != PADDING, encoded, present)
        for cell in self.decoder:
            for block, chosen in zip(cell, choices or repeat(None)):
                x = block(x, context, chosen)
        return self.classifier(self.decoder_norm(x))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the logits of the token that follows each token of ``target``, ``(b, t, v)``."""
        return self.decode(target, self.encode(source), source != PADDING)

    def _embedded(self, words: nn.Embedding, tokens: Tensor) -> Tensor:
        """Return tokens with the sines and cosines of their positions (Vaswani et al. 2017, section 3.5)."""
        x = words(tokens) * math.sqrt(self.channels)
        half = self.channels // 2
        rates = torch.exp(torch.arange(half, device=x.device) * (-math.log(10_000) / half))
        angles = torch.arange(tokens.shape[1], device=x.device)[:, None] * rates
        return x + torch.cat([angles.sin(), angles.cos()], 1).to(x)
