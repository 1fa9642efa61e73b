"""The space of encoder-decoders for translation, with the vocabulary of the Evolved Transformer (So et al. 2019).

Each block decides the layer, the width and the activation of two branches, and what follows their sum. Cells of the
encoder are alike, and so are those of the decoder. The supernet's layers are as wide as the widest candidate; narrower
ones are slices of them (``supernet.spaces.transformer.sizes``).

Axes: ``b`` sentence, ``t`` token, ``d`` value of a token, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from genotypes.types.choices import ChoicesGenotype
from supernet.choice import ChoiceTable, Gates
from supernet.errors import SpaceError
from supernet.layer_choice import GateValues, gate_values
from supernet.mixed.backends import check_without_kernels
from supernet.network import count_parameters
from supernet.shapes import TranslationShape
from supernet.spaces.choices import ALWAYS, ChoicesSpace, choice_table
from supernet.spaces.space import SpaceEntry, SpaceOptions
from supernet.spaces.transformer.sizes import chosen, copy_slices, fixed, mixed
from supernet.spaces.transformer.translation_layers import ACTIVATIONS, LAYERS, POST
from supernet.spaces.transformer.translation_network import (
    BLOCKS,
    NONE,
    PADDING,
    Block,
    BlockChoices,
    Branch,
    TranslationNetwork,
)

WIDTHS: Mapping[str, float] = {"1/2": 0.5, "1": 1, "2": 2, "4": 4}
"""Widths of branches, as multiples of the tokens'."""

POST_WIDTHS = ("1/2", "1")
"""Widths of what follows the sum."""

BETWEEN = ("plain", "norm")
"""Whether LayerNorm stands between the sum and what follows."""


def layers_of(part: str) -> dict[str, tuple[str, ...]]:
    """Return the candidates of a block's left and right branch and of what follows; ``part`` is a key of ``BLOCKS``."""
    names = tuple(name for name in LAYERS if part == "decoder" or not name.startswith("source"))
    return {"left": names, "right": (NONE, *names), "post": (NONE, *POST)}


@dataclass(frozen=True)
class TranslationSpace(ChoicesSpace):
    """The space of these networks.

    Attributes:
        shape: of the sentences.
        channels: width of the tokens.
        layers: cells of the encoder, and of the decoder.
        allowed: table label -> each row's candidates, where they are not all.
    """

    name: ClassVar[str] = "translation"

    shape: TranslationShape
    channels: int = 32
    layers: int = 1
    allowed: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    @cached_property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """One table of one row for each decision; those of a layer take part where there is one."""
        return tuple(self._tables())

    def _tables(self) -> Iterator[ChoiceTable]:
        for part, block in _blocks():
            for side, names in layers_of(part).items():
                label = f"{block}.{side}"
                there = [((label, name),) for name in names if name != NONE] if NONE in names else ALWAYS
                decisions = {
                    f"{label}.width": POST_WIDTHS if side == "post" else WIDTHS,
                    **({f"{block}.between": BETWEEN} if side == "post" else {f"{label}.activation": ACTIVATIONS}),
                }
                yield choice_table(label, names, allowed=self.allowed.get(label))
                for own, candidates in decisions.items():
                    yield choice_table(own, tuple(candidates), there, self.allowed.get(own))

    def supernet(self, backend: str = "batched") -> TranslationSupernet:
        """Return the network of all candidates.

        Backends compute it in one way, but that attention of ``reference`` can be differentiated twice.

        Raises:
            SpaceError: where the backend is unknown.
        """
        check_without_kernels(backend, "a network for translation")
        return TranslationSupernet(self.shape, self.channels, self.layers, differentiable=backend == "reference")

    def network(self, genotype: ChoicesGenotype, auxiliary: bool = False, searched: bool = False) -> TranslationNetwork:
        """Return the network of an architecture, whether ``searched`` or not.

        Raises:
            SpaceError: where the genotype is of another space, or an auxiliary head is asked for.
        """
        kept = self.kept(genotype)
        if auxiliary:
            raise SpaceError("networks for translation have no auxiliary head: set `auxiliary` 0")
        cells = {
            part: [
                [_block(kept, label, self.channels) for other, label in _blocks() if other == part]
                for _ in range(self.layers)
            ]
            for part in BLOCKS
        }
        return TranslationNetwork(self.shape, self.channels, cells["encoder"], cells["decoder"])

    def inherit(self, network: Any, supernet: Any, genotype: Any) -> None:
        """Copy the slices of the supernet's weights.

        Raises:
            SpaceError: where the genotype is not of this space.
        """
        self.picks(genotype)
        copy_slices(network, supernet)

    def figures(self, genotype: ChoicesGenotype) -> dict[str, Any]:
        """Return the number of weights."""
        with torch.device("meta"):
            return {"parameters": count_parameters(self.network(genotype))}


class TranslationSupernet(TranslationNetwork):
    """The supernet, called with sentences, the tokens so far, and gates.

    Args:
        shape: of the sentences.
        channels: width of the tokens.
        layers: cells of the encoder, and of the decoder.
        differentiable: whether attention is computed by operations that can be differentiated twice.
    """

    def __init__(self, shape: TranslationShape, channels: int, layers: int, differentiable: bool = False):
        widest = int(channels * max(WIDTHS.values()))
        widths = {"left": widest, "right": widest, "post": channels}
        cells = {
            part: [[Block(channels, widths, layers_of(part)) for _ in range(count)] for _ in range(layers)]
            for part, count in BLOCKS.items()
        }
        super().__init__(shape, channels, cells["encoder"], cells["decoder"])
        self.differentiable = differentiable

    def forward(self, source: Tensor, target: Tensor, gates: Gates) -> Tensor:  # type: ignore[override]
        """Return the logits of the token that follows each token of ``target``, ``(b, t, v)``.

        Args:
            source, target: tokens, ``(b, s)`` and ``(b, t)``.
            gates: label -> ``(1, o)``.
        """
        values = gate_values(gates)
        choices: dict[str, list[BlockChoices]] = {part: [] for part in BLOCKS}
        for part, label in _blocks():
            choices[part].append(_weighted(values, part, label, self.channels))
        with sdpa_kernel(SDPBackend.MATH) if self.differentiable else nullcontext():
            encoded = self.encode(source, choices["encoder"])
            return self.decode(target, encoded, source != PADDING, choices["decoder"])


def _blocks() -> list[tuple[str, str]]:
    """Return the part and the label of each block."""
    return [(part, f"{part}{index}") for part, count in BLOCKS.items() for index in range(count)]


def _weighted(values: Mapping[str, GateValues], part: str, label: str, channels: int) -> BlockChoices:
    """Return the decisions of a block, with their gates."""

    def branch(side: str, names: tuple[str, ...]) -> Branch:
        own = f"{label}.{side}"
        widths = POST_WIDTHS if side == "post" else tuple(WIDTHS)
        sizes = mixed([(_width(name, channels), gate) for name, gate in chosen(values[f"{own}.width"], widths)])
        layers = chosen(values[own], names)
        if side == "post":
            return Branch(layers, sizes)
        return Branch(layers, sizes, chosen(values[f"{own}.activation"], tuple(ACTIVATIONS)))

    sides = {side: branch(side, names) for side, names in layers_of(part).items()}
    return BlockChoices(**sides, between=chosen(values[f"{label}.between"], BETWEEN))


def _block(kept: Mapping[str, str], label: str, channels: int) -> Block:
    """Return a block of kept candidates."""

    def branch(side: str) -> Branch:
        own = f"{label}.{side}"
        if kept[own] == NONE:
            return Branch(((NONE, None),), fixed(0))
        activation = kept.get(f"{own}.activation", "linear")
        return Branch(((kept[own], None),), fixed(_width(kept[f"{own}.width"], channels)), ((activation, None),))

    sides = {side: branch(side) for side in ("left", "right", "post")}
    widths = {side: made.width.largest for side, made in sides.items()}
    layers = {side: [name for name, _ in made.layers] for side, made in sides.items()}
    between = ((kept.get(f"{label}.between", "plain"), None),)
    return Block(channels, widths, layers, BlockChoices(**sides, between=between))


def _width(name: str, channels: int) -> int:
    return int(WIDTHS[name] * channels)


Described = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""Of a block: layer, width and activation of each branch; layer and width of what follows, and what stands between."""


def _described(encoder: Sequence[Described], decoder: Sequence[Described]) -> ChoicesGenotype:
    pairs: list[tuple[str, str]] = []
    for (_, label), (left, right, post) in zip(_blocks(), (*encoder, *decoder)):
        for side, names in (("left", left), ("right", right)):
            pairs += zip((f"{label}.{side}", f"{label}.{side}.width", f"{label}.{side}.activation"), names)
        pairs += zip((f"{label}.post", f"{label}.post.width", f"{label}.between"), post)
    return ChoicesGenotype(tuple((label, (name,)) for label, name in pairs))


ABSENT: Sequence[str] = (NONE,)
FEED_FORWARD: Described = (("dense", "4", "relu"), ABSENT, ("dense", "1", "plain"))


def _alone(layer: str, width: str = "1", activation: str = "linear") -> Described:
    return (layer, width, activation), ABSENT, ABSENT


EVOLVED_TRANSFORMER = _described(
    encoder=(
        _alone("gated"),
        (("dense", "4", "relu"), ("conv_3", "1/2", "relu"), ("sep_conv_9", "1/2", "norm")),
        _alone("attention_8"),
        FEED_FORWARD,
    ),
    decoder=(
        (("attention_16", "1", "linear"), ("source_attention_8", "1", "linear"), ABSENT),
        (("sep_conv_11", "2", "relu"), ("sep_conv_7", "1/2", "linear"), ("sep_conv_7", "1", "norm")),
        _alone("attention_8"),
        _alone("source_attention_8"),
        (("dense", "4", "swish"), ABSENT, ("dense", "1", "norm")),
    ),
)
"""The Evolved Transformer (So et al. 2019), block by block as the authors build it in tensor2tensor at 8 heads
(``models/evolved_transformer.py``), without dropout. Figure 3 of the paper was not compared with it."""


def make(options: SpaceOptions) -> TranslationSpace:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set holds no pairs of sentences, or options do not fit.
    """
    options.require(TranslationShape, "pairs of sentences")
    if options.partial > 1:
        raise SpaceError("partial channels do not apply to networks for translation: set `space.partial` 1")
    if options.channels % 2:
        raise SpaceError(
            f"`space.channels` is {options.channels}; positions are pairs of a sine and a cosine: make it even"
        )
    return TranslationSpace(options.shape, options.channels, options.layers, options.allowed)


ENTRY = SpaceEntry(make, ChoicesGenotype)
