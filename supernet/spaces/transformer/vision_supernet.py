"""The supernet of vision transformers, whose weights are entangled, and the candidates of their sizes.

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from genotypes.types.vision_transformer import MIXERS
from supernet.choice import Gates
from supernet.layer_choice import GateValues, gate_values
from supernet.shapes import ImageShape
from supernet.spaces.transformer.sizes import chosen, mixed
from supernet.spaces.transformer.vision_network import (
    Block,
    BlockSizes,
    Classifier,
    FeedForward,
    PatchEmbedding,
    VisionTransformer,
    hidden_width,
    mixer_of,
)

PATCH, WIDTH, DEPTH = "patch", "width", "depth"
"""Labels of the decisions for the whole network."""


@dataclass(frozen=True)
class VisionTransformerOptions:
    """The candidates of the space; those that are not given follow from ``channels``, ``layers`` and the images."""

    patches: tuple[int, ...] = ()
    """Sides of patches; by default those that cut the image's side into 4 to 8."""
    widths: tuple[int, ...] = ()
    """Widths of tokens; by default a half, three quarters and all of ``channels``."""
    depths: tuple[int, ...] = ()
    """Numbers of blocks; by default a half, three quarters and all of ``layers``."""
    heads: tuple[int, ...] = ()
    """Heads of a block's attention; by default a half, three quarters and all of as many as fit into ``channels``."""
    kernels: tuple[int, ...] = (3, 5)
    """Sides of a block's convolution."""
    ratios: tuple[float, ...] = (1, 2, 4)
    """Widths between a block's two layers, as multiples of the tokens' width."""
    head_width: int | None = None
    """Width of a head; by default a third of ``channels``, and 64 at most."""


def label_of(block: int, name: str) -> str:
    """Return the label of a decision of a block, which is counted from 0."""
    return f"block{block}.{name}"


class EntangledTransformer(VisionTransformer):
    """The supernet: a vision transformer of the largest sizes, called with images and gates.

    Several patches are computed one after the other, and their logits are weighted by the gates; of several depths, the
    class tokens behind them are.

    Args:
        shape: of the images and the number of classes.
        candidates: all given.
        differentiable: whether attention is computed by operations that can be differentiated twice.
    """

    def __init__(self, shape: ImageShape, candidates: VisionTransformerOptions, differentiable: bool = False):
        width, head_width = max(candidates.widths), candidates.head_width
        assert head_width is not None, "all candidates are given"
        largest = {"attention": max(candidates.heads), "convolution": max(candidates.kernels)}
        hidden = hidden_width(width, max(candidates.ratios))

        def block() -> Block:
            mixers = {name: mixer_of(width, head_width, name, size) for name, size in largest.items()}
            return Block(mixers, FeedForward(width, hidden))

        embeddings = {patch: PatchEmbedding(shape, patch, width) for patch in candidates.patches}
        blocks = (block() for _ in range(max(candidates.depths)))
        super().__init__(embeddings, blocks, Classifier(width, shape.classes))
        self.candidates, self.differentiable = candidates, differentiable

    def forward(self, x: Tensor, gates: Gates) -> Tensor:  # type: ignore[override]
        """Return the logits of the classes, ``(b, classes)``.

        Args:
            x: images, ``(b, c, h, w)``.
            gates: label -> ``(1, o)``.
        """
        with sdpa_kernel(SDPBackend.MATH) if self.differentiable else nullcontext():
            return self._forward(x, gates)

    def _forward(self, x: Tensor, gates: Gates) -> Tensor:
        given, values = self.candidates, gate_values(gates)
        widths = chosen(values[WIDTH], given.widths)
        depths = dict((depth, gate) for depth, gate in chosen(values[DEPTH], given.depths))
        blocks = [self._block_sizes(block, values, widths) for block in range(max(depths))]
        width = mixed(widths)
        terms = []
        for patch, gate in chosen(values[PATCH], given.patches):
            tokens, behind = self.embeddings[str(patch)](x, width), []
            for number, (block, sizes) in enumerate(zip(self.blocks, blocks), 1):
                tokens = block(tokens, width, sizes)
                if number in depths:
                    behind.append(depths[number].to(tokens) * tokens[:, 0])
            terms.append(gate * self.classifier(sum(behind[1:], start=behind[0]), width))
        return sum(terms[1:], start=terms[0])

    def _block_sizes(
        self, block: int, values: Mapping[str, GateValues], widths: list[tuple[int, Tensor]]
    ) -> BlockSizes:  # fmt: skip
        given = self.candidates
        mixers = {}
        for name, gate in chosen(values[label_of(block, "mixer")], tuple(MIXERS)):
            label = label_of(block, MIXERS[name])
            mixers[name] = gate, mixed(chosen(values[label], given.heads if name == "attention" else given.kernels))
        ratios = chosen(values[label_of(block, "ratio")], given.ratios)
        hidden = [
            (hidden_width(width, ratio), gate * other) for (width, gate), (ratio, other) in product(widths, ratios)
        ]
        return BlockSizes(mixers, mixed(hidden))
