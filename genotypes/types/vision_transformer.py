"""Vision transformers (Dosovitskiy et al. 2021) whose sizes are searched (AutoFormer, Chen et al. 2021).

The image is cut into square patches; each is a token of ``width`` values. Every block mixes the tokens, by attention or
by a depthwise convolution over their grid, and then each token by two layers, between which it is ``ratio`` times as
wide. The text form is ``vit~patch~width~head_width``, then the blocks::

    vit~16~768~64|attention~12~4|convolution~3~2.5
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genotypes.faults import MAX_FAULTS, Fault, GenotypeError, is_int, nearest, quote
from genotypes.types.genotype import architecture_hash

MIXERS: Mapping[str, str] = {"attention": "heads", "convolution": "kernel"}
"""The ways in which a block mixes tokens -> the field of its size: the number of heads; the side of the kernel."""

KERNELS = tuple(range(1, 16, 2))
"""Sides of kernels."""

MAX_BLOCKS, MAX_SIZE = 256, 65_536

SIZES = ("patch", "width", "head_width")
"""The fields that all blocks share."""


@dataclass(frozen=True)
class TransformerBlock:
    """One block of a vision transformer.

    Attributes:
        mixer: a key of ``MIXERS``.
        size: number of heads, or the kernel's side, which is odd.
        ratio: width between the block's two layers, as a multiple of the tokens' width.
    """

    mixer: str
    size: int
    ratio: float

    def __str__(self) -> str:
        return f"{self.mixer}~{self.size}~{self.ratio:g}"


@dataclass(frozen=True)
class VisionTransformerGenotype:
    """The sizes of a vision transformer.

    Attributes:
        patch: side of a patch, in pixels.
        width: of a token.
        head_width: of a token within one head of attention.
        blocks: from the first to the last.

    Raises:
        GenotypeError: with every fault at once.
    """

    patch: int
    width: int
    head_width: int
    blocks: tuple[TransformerBlock, ...]
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        faults = list(_faults(self))
        if faults:
            raise GenotypeError(faults[:MAX_FAULTS], self.name or "genotype")

    def __str__(self) -> str:
        return "|".join([f"vit~{self.patch}~{self.width}~{self.head_width}", *map(str, self.blocks)])

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on the sizes alone, not on the name."""
        return architecture_hash(str(self))

    def named(self, name: str | None) -> "VisionTransformerGenotype":
        """Return the same sizes under another name."""
        return replace(self, name=name)

    def fields(self) -> dict[str, Any]:
        """Return the fields of its JSON file."""
        blocks = [{"mixer": b.mixer, MIXERS[b.mixer]: b.size, "ratio": b.ratio} for b in self.blocks]
        return {**{size: getattr(self, size) for size in SIZES}, "blocks": blocks}

    def entries(self) -> dict[str, str]:
        """Return the shared sizes, then those of each block."""
        blocks = {
            f"blocks[{index}]": f"{b.mixer}, {MIXERS[b.mixer]} {b.size}, ratio {b.ratio:g}"
            for index, b in enumerate(self.blocks)
        }
        return {**{size: str(getattr(self, size)) for size in SIZES}, **blocks}


def from_fields(document: Mapping[str, Any]) -> VisionTransformerGenotype:
    """Read the fields of a JSON file.

    Raises:
        GenotypeError: with every fault at once.
    """
    given = document.get("blocks")
    faults = [] if isinstance(given, list) else [Fault("blocks", quote(given), "a list of blocks")]
    blocks = []
    for index, block in enumerate(given if isinstance(given, list) else ()):
        mixer: Any = block.get("mixer") if isinstance(block, dict) else None
        size = MIXERS.get(mixer) if isinstance(mixer, str) else None
        if isinstance(block, dict) and size is not None and set(block) == {"mixer", size, "ratio"}:
            blocks.append(TransformerBlock(mixer, block[size], block["ratio"]))
        else:
            forms = " or ".join(f'{{"mixer": "{name}", "{size}": n, "ratio": r}}' for name, size in MIXERS.items())
            faults.append(Fault(f"blocks[{index}]", quote(block), forms))
    if faults:
        raise GenotypeError(faults[:MAX_FAULTS])
    patch, width, head_width = (document.get(size) for size in SIZES)
    return VisionTransformerGenotype(patch, width, head_width, tuple(blocks))  # type: ignore[arg-type]


def is_text(text: str) -> bool:
    """Return whether a text is meant as the text form."""
    return text.lstrip().startswith("vit~")


def from_text(text: str, source: str = "genotype") -> VisionTransformerGenotype:
    """Read the text form.

    Args:
        text: as ``str`` of a genotype; surrounding white space is ignored.
        source: its name in an error.

    Raises:
        GenotypeError: naming what is at fault.
    """
    head, *blocks = text.strip().split("|")
    sizes = re.fullmatch(r"vit~(\d{1,6})~(\d{1,6})~(\d{1,6})", head)
    parsed = [re.fullmatch(r"(\w{1,20})~(\d{1,6})~(\d{1,6}(?:\.\d{1,6})?)", block) for block in blocks]
    faults = [] if sizes else [Fault("text", quote(head[:40]), "vit~patch~width~head_width")]
    for index, (block, match) in enumerate(zip(blocks, parsed)):
        if match is None:
            faults.append(
                Fault(f"blocks[{index}]", quote(block[:40]), "attention~heads~ratio, convolution~kernel~ratio")
            )
    if faults or sizes is None:
        raise GenotypeError(faults[:MAX_FAULTS], source)
    found = [TransformerBlock(match[1], int(match[2]), float(match[3])) for match in parsed if match]
    try:
        return VisionTransformerGenotype(int(sizes[1]), int(sizes[2]), int(sizes[3]), tuple(found))
    except GenotypeError as error:
        raise error.within(source) from None


def vision_transformer(
    *, patch: int, width: int, depth: int, heads: int, ratio: float = 4, name: str | None = None
) -> VisionTransformerGenotype:
    """Return a vision transformer whose blocks are all alike, with attention, as they are published.

    Args:
        patch: side of a patch.
        width: of a token; each head has its share of it.
        depth: number of blocks.
        heads, ratio: of each block.
        name: of the genotype.
    """
    return VisionTransformerGenotype(
        patch, width, width // heads, (TransformerBlock("attention", heads, ratio),) * depth, name
    )  # fmt: skip


def _faults(genotype: VisionTransformerGenotype) -> Iterator[Fault]:
    for size in SIZES:
        value = getattr(genotype, size)
        if not is_int(value) or not 1 <= value <= MAX_SIZE:
            yield Fault(size, quote(value), f"an integer from 1 to {MAX_SIZE}")
    if not 1 <= len(genotype.blocks) <= MAX_BLOCKS:
        yield Fault("blocks", f"{len(genotype.blocks)} blocks", f"1 to {MAX_BLOCKS}")
        return
    for index, block in enumerate(genotype.blocks):
        where = f"blocks[{index}]"
        if block.mixer not in MIXERS:
            yield Fault(f"{where}.mixer", quote(block.mixer), nearest(str(block.mixer), tuple(MIXERS)))
            continue
        size = MIXERS[block.mixer]
        if block.mixer == "convolution" and (not is_int(block.size) or block.size not in KERNELS):
            yield Fault(f"{where}.{size}", quote(block.size), f"one of {', '.join(map(str, KERNELS))}")
        elif not is_int(block.size) or not 1 <= block.size <= MAX_SIZE:
            yield Fault(f"{where}.{size}", quote(block.size), f"an integer from 1 to {MAX_SIZE}")
        number = isinstance(block.ratio, int | float) and not isinstance(block.ratio, bool)
        if not number or not 0 < block.ratio <= 64:
            yield Fault(f"{where}.ratio", quote(block.ratio), "a number above 0, 64 at most")


VIT_B_16 = vision_transformer(patch=16, width=768, depth=12, heads=12, name="ViT_B_16")
"""ViT-B/16 (Dosovitskiy et al. 2021, table 1)."""
