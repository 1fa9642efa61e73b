"""The commands of ``python -m genotypes``: one record for each, its fields the options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Given = Positional[Annotated[str, arg(metavar="NAME|FILE")]]


@dataclass(frozen=True)
class List:
    """Print the library, with reported figures and exact parameters."""

    sort: Literal["name", "error", "std", "params", "gpu_days", "imagenet", "exact"] = "name"
    """Column to sort by, lowest first."""


@dataclass(frozen=True)
class Show:
    """Draw a genotype as text, and count its parameters and multiply-adds."""

    genotype: Given
    """A library name, a file, a run's folder, RUN@EPOCH, or the genotype itself as text."""
    channels: int | None = None
    """Channels of the first cells; 36 by default, 16 for NAS-Bench-201."""
    layers: int | None = None
    """Number of cells, by default 20; for NAS-Bench-201 the cells of each stage, by default 5."""
    size: int = 32
    """Height and width of the images, in pixels."""
    classes: int = 10
    """Number of classes."""
    stem: Literal["auto", "cifar", "imagenet"] = "auto"
    """auto: the ImageNet stem for images of 96 pixels or more."""


@dataclass(frozen=True)
class Check:
    """Print every fault of genotype files with its line; warn of unusual parts."""

    files: Positional[Annotated[tuple[str, ...], arg(metavar="FILE ...")]]
    """Genotype files, in any format."""


@dataclass(frozen=True)
class Diff:
    """Compare two genotypes edge by edge. The exit code is 0 if they are equal, else 1."""

    first: Given
    """A library name, a file, a run's folder, RUN@EPOCH, or the genotype itself as text."""
    second: Given
    """A library name, a file, a run's folder, RUN@EPOCH, or the genotype itself as text."""


@dataclass(frozen=True)
class Convert:
    """Write a genotype in another format. Each of them is read back as the same genotype."""

    genotype: Given
    """A library name, a file, a run's folder, RUN@EPOCH, or the genotype itself as text."""
    to: Literal["json", "text", "triples", "nested", "edges"]
    """text: pairs (op, input), or the notation of the genotype's type, such as NAS-Bench-201's string; triples: (op,
    to, from); nested: pairs node by node; edges: one op for every edge."""
    output: Path | None = None
    """File to write; standard output by default."""
    force: bool = False
    """Replace an existing file."""


@dataclass(frozen=True)
class Mutate:
    """Print genotypes that differ in one operation or one input, one a line."""

    genotype: Given
    """A library name, a file, a run's folder, RUN@EPOCH, or the genotype itself as text."""
    seed: int = 0
    """Seed of the random order."""
    count: int = 1
    """Number of genotypes, all different."""
    ops: tuple[str, ...] | None = None
    """Operations that an edge may get; by default those among which a search of this type chooses."""


@dataclass(frozen=True)
class Draw:
    """Draw a genotype."""

    genotype: Given
    """A library name, a file, a run's folder, RUN@EPOCH, or the genotype itself as text."""
    output: Path
    """File to write: .svg; for cells of the DARTS family also .dot and .png."""
    theme: Literal["auto", "light", "dark"] = "auto"
    """Colours of .svg and .png; with auto, an .svg follows the viewer's setting."""


@dataclass(frozen=True)
class Schema:
    """Print the JSON Schema of genotype files, for editors."""

    update: bool = False
    """Write genotype.schema.json anew instead, with the operations of cells as they are now."""
