"""The space of vision transformers (AutoFormer, Chen et al. 2021): patch, width and depth of the network; mixer, heads
or kernel, and ratio of each block.

The supernet has entangled weights (``supernet.spaces.transformer.sizes``): every network is a slice of it.

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``t`` token, ``d`` value of a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import torch

from genotypes.types.vision_transformer import KERNELS, MIXERS, TransformerBlock, VisionTransformerGenotype
from supernet.choice import ChoiceTable, Picks
from supernet.conditions import canonical, violation
from supernet.errors import SpaceError
from supernet.mixed.backends import check_without_kernels
from supernet.network import count_parameters
from supernet.parts import Part
from supernet.shapes import ImageShape
from supernet.spaces.choices import ALWAYS, Condition, at_least, choice_table, name_of
from supernet.spaces.space import SearchSpace, SpaceEntry, SpaceOptions
from supernet.spaces.transformer.sizes import copy_slices
from supernet.spaces.transformer.vision_network import (
    Branch,
    Classifier,
    FeedForward,
    PatchEmbedding,
    VisionTransformer,
    hidden_width,
    mixer_of,
    network_of,
)
from supernet.spaces.transformer.vision_supernet import (
    DEPTH,
    PATCH,
    WIDTH,
    EntangledTransformer,
    VisionTransformerOptions,
    label_of,
)

MOST_HEAD_WIDTH = 64
"""Width of a head in the published networks."""


@dataclass(frozen=True)
class VisionTransformerSpace(SearchSpace):
    """The space of these networks.

    Attributes:
        shape: of the images and the number of classes.
        candidates: all given.
        allowed: table label -> each row's candidates, where they are not all.
    """

    shape: ImageShape
    candidates: VisionTransformerOptions
    allowed: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    @cached_property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """One table of one row for each decision; those of a block take part where the network is deep enough."""
        return tuple(self._tables())

    def _tables(self) -> Iterator[ChoiceTable]:
        given = self.candidates
        yield self._table(PATCH, given.patches)
        yield self._table(WIDTH, given.widths)
        yield self._table(DEPTH, given.depths)
        for block in range(max(given.depths)):
            deep, mixer = at_least(DEPTH, given.depths, block + 1), label_of(block, "mixer")
            yield self._table(mixer, tuple(MIXERS), deep)
            for name, size in MIXERS.items():
                when = [(*way, (mixer, name)) for way in deep]
                yield self._table(label_of(block, size), given.heads if size == "heads" else given.kernels, when)
            yield self._table(label_of(block, "ratio"), given.ratios, deep)

    def _table(self, label: str, candidates: Sequence[Any], when: Condition = ALWAYS) -> ChoiceTable:
        return choice_table(label, candidates, when, self.allowed.get(label))

    def supernet(self, backend: str = "batched") -> EntangledTransformer:
        """Return the network of the largest sizes, of which all others are slices.

        Backends compute it in one way, but that attention of ``reference`` can be differentiated twice.

        Raises:
            SpaceError: where the backend is unknown.
        """
        check_without_kernels(backend, "a vision transformer")
        return EntangledTransformer(self.shape, self.candidates, differentiable=backend == "reference")

    def network(
        self, genotype: VisionTransformerGenotype, auxiliary: bool = False, searched: bool = False
    ) -> VisionTransformer:
        """Return the network of a genotype, which has all sizes, whether ``searched`` or not.

        Raises:
            SpaceError: where the genotype is of another kind, its patches do not divide the images, or an auxiliary
                head is asked for.
        """
        _require_sizes(genotype)
        if auxiliary:
            raise SpaceError("vision transformers have no auxiliary head: set `auxiliary` 0")
        if self.shape.size % genotype.patch:
            raise SpaceError(f"patch: {genotype.patch} does not divide images of {self.shape.size} pixels")
        return network_of(genotype, self.shape)

    def derive(self, picks: Picks) -> VisionTransformerGenotype:
        """Return the sizes of the kept candidates."""
        kept = {label: pairs[0][1] for label, pairs in picks.items() if pairs}
        blocks = []
        for block in range(int(kept[DEPTH])):
            mixer = kept[label_of(block, "mixer")]
            size, ratio = kept[label_of(block, MIXERS[mixer])], kept[label_of(block, "ratio")]
            blocks.append(TransformerBlock(mixer, int(size), float(ratio)))
        head_width = self.candidates.head_width
        assert head_width is not None, "all candidates are given"
        return VisionTransformerGenotype(int(kept[PATCH]), int(kept[WIDTH]), head_width, tuple(blocks))

    def picks(self, genotype: VisionTransformerGenotype) -> Picks:
        """Return the candidate of each decision that takes part.

        Raises:
            SpaceError: where a size is none of the candidates.
        """
        _require_sizes(genotype)
        if genotype.head_width != self.candidates.head_width:
            found = f"head_width: {genotype.head_width}"
            raise SpaceError(f"{found}; this space has {self.candidates.head_width}: set `space.head_width`")
        kept: dict[str, Any] = {PATCH: genotype.patch, WIDTH: genotype.width, DEPTH: len(genotype.blocks)}
        for block, sizes in enumerate(genotype.blocks):
            own = {"mixer": sizes.mixer, MIXERS[sizes.mixer]: sizes.size, "ratio": sizes.ratio}
            kept |= {label_of(block, name): value for name, value in own.items()}
        picks = {label: ((0, name_of(value)),) for label, value in kept.items()}
        fault = violation(self.tables, picks)
        if fault:
            raise SpaceError(f"the genotype is not of this space of vision transformers: {fault}")
        return canonical(self.tables, picks)

    def inherit(self, network: Any, supernet: Any, genotype: Any) -> None:
        """Copy the slices of the supernet's weights.

        Raises:
            SpaceError: where the genotype is not of this space.
        """
        self.picks(genotype)
        copy_slices(network, supernet)

    def figures(self, genotype: VisionTransformerGenotype) -> dict[str, Any]:
        """Return the number of blocks, how many have attention, and the number of weights."""
        with torch.device("meta"):
            parameters = count_parameters(self.network(genotype))
        attention = sum(block.mixer == "attention" for block in genotype.blocks)
        return {"blocks": len(genotype.blocks), "attention_blocks": attention, "parameters": parameters}

    @property
    def largest(self) -> VisionTransformerGenotype:
        """The genotype of the smallest patches and otherwise the largest sizes, with attention in every block."""
        given = self.candidates
        assert given.head_width is not None, "all candidates are given"
        block = TransformerBlock("attention", max(given.heads), max(given.ratios))
        sizes = min(given.patches), max(given.widths), given.head_width
        return VisionTransformerGenotype(*sizes, (block,) * max(given.depths))

    def parts(self, inputs: tuple[Any, ...]) -> list[Part]:
        """Return the embedding, the branches and the classifier of each width, and of each depth that has them."""
        with torch.device("meta"):
            return list(self._parts(inputs))

    def _parts(self, inputs: tuple[Any, ...]) -> Iterator[Part]:
        given, count = self.candidates, len(inputs[0])
        assert given.head_width is not None, "all candidates are given"
        images = torch.empty(inputs[0].shape)
        for width in given.widths:
            wide = (WIDTH, 0, str(width))
            yield Part((wide,), "classifier", Classifier(width, self.shape.classes), (torch.empty(count, width),))
            branches: dict[tuple[tuple[str, str], ...], Branch] = {}
            for name, size in MIXERS.items():
                for value in given.heads if size == "heads" else given.kernels:
                    key = ("mixer", name), (size, str(value))
                    branches[key] = mixer_of(width, given.head_width, name, value)
            for ratio in given.ratios:
                branches[(("ratio", name_of(ratio)),)] = FeedForward(width, hidden_width(width, ratio))
            for patch in given.patches:
                cut = (PATCH, 0, str(patch))
                embedding = PatchEmbedding(self.shape, patch, width)
                yield Part((cut, wide), f"patches of {patch}", embedding, (images,))
                tokens = torch.empty(count, *embedding.positions.shape)
                for depth, (names, branch) in product(given.depths, branches.items()):
                    for block in range(depth):
                        own = tuple((label_of(block, label), 0, name) for label, name in names)
                        when = (cut, wide, (DEPTH, 0, str(depth)), *own)
                        yield Part(when, " ".join(name for _, name in names), branch, (tokens,), summed=True)


def _require_sizes(genotype: Any) -> None:
    if not isinstance(genotype, VisionTransformerGenotype):
        raise SpaceError(f"this space has vision transformers, and no {type(genotype).__name__}")


def _portions(largest: int) -> tuple[int, ...]:
    """Return a half, three quarters and all of a number, rounded up."""
    return tuple(sorted({-(-largest * quarters // 4) for quarters in (2, 3, 4)}))


def make(options: SpaceOptions) -> VisionTransformerSpace:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set holds no images, or options do not fit.
    """
    options.require(ImageShape, "images")
    if options.partial > 1:
        raise SpaceError("partial channels do not apply to vision transformers: set `space.partial` 1")
    given, size = options.own_as(VisionTransformerOptions), options.shape.size
    head_width = given.head_width or min(MOST_HEAD_WIDTH, max(1, options.channels // 3))
    fitting = tuple(patch for patch in range(1, size + 1) if size % patch == 0)
    candidates = VisionTransformerOptions(
        patches=given.patches or tuple(patch for patch in fitting if 4 <= size // patch <= 8),
        widths=given.widths or _portions(options.channels),
        depths=given.depths or _portions(options.layers),
        heads=given.heads or _portions(max(1, options.channels // head_width)),
        kernels=given.kernels,
        ratios=given.ratios,
        head_width=head_width,
    )
    for name in ("patches", "widths", "depths", "heads", "kernels", "ratios"):
        found = getattr(candidates, name)
        if not found or len(set(found)) != len(found):
            raise SpaceError(f"`space.{name}` is {' '.join(map(name_of, found)) or 'empty'}: give different candidates")
    if wrong := [patch for patch in candidates.patches if patch not in fitting]:
        one_of = ", ".join(map(str, fitting))
        raise SpaceError(f"`space.patches` has {wrong[0]}; images of {size} pixels have patches of {one_of}")
    if wrong := [kernel for kernel in candidates.kernels if kernel not in KERNELS]:
        raise SpaceError(f"`space.kernels` has {wrong[0]}; it must be of {', '.join(map(str, KERNELS))}")
    return VisionTransformerSpace(options.shape, candidates, options.allowed)


ENTRY = SpaceEntry(make, VisionTransformerGenotype, VisionTransformerOptions)
