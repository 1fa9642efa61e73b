"""What ``python -m genotypes`` can be asked to do: one record for each command, its fields the options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from genotypes.neighbours import DERIVED_OPS

Given = Positional[Annotated[str, arg(metavar="NAME|FILE")]]


@dataclass(frozen=True)
class List:
    """The library, with reported figures and exact parameters."""

    sort: Literal["name", "error", "std", "params", "gpu_days", "imagenet", "exact"] = "name"
    """Column to sort by, lowest first."""


@dataclass(frozen=True)
class Show:
    """Draw a genotype as text, and count its parameters and multiply-adds."""

    genotype: Given
    """A library name, a file, or an architecture string of NAS-Bench-201."""
    channels: int | None = None
    """Width of the first cells; 36 by default, 16 for NAS-Bench-201."""
    layers: int | None = None
    """Number of cells, 20 by default; in NAS-Bench-201 cells of each stage, 5 by default."""
    size: int = 32
    """Side of the images, in pixels."""
    classes: int = 10
    """Classes to tell apart."""
    stem: Literal["auto", "cifar", "imagenet"] = "auto"
    """auto: ImageNet's for images from 96 pixels on."""


@dataclass(frozen=True)
class Check:
    """Name every fault of genotype files, with its line; warn of what is seldom meant."""

    files: Positional[Annotated[tuple[str, ...], arg(metavar="FILE ...")]]
    """Genotype files, in any form."""


@dataclass(frozen=True)
class Diff:
    """Compare two genotypes edge by edge. The exit code is 0 where they are equal, 1 where not."""

    first: Given
    """A library name, a file, or an architecture string of NAS-Bench-201."""
    second: Given
    """A library name, a file, or an architecture string of NAS-Bench-201."""


@dataclass(frozen=True)
class Convert:
    """Write a genotype in another form. Every form is read back as the same genotype."""

    genotype: Given
    """A library name, a file, or an architecture string of NAS-Bench-201."""
    to: Literal["json", "text", "triples", "nested", "edges"]
    """text: pairs (op, input), or what the genotype's family writes, such as NAS-Bench-201's string; triples: (op, to,
    from); nested: pairs node by node; edges: one op for every edge."""
    output: Path | None = None
    """File to write; standard output without."""
    force: bool = False
    """Replace a file that is there."""


@dataclass(frozen=True)
class Mutate:
    """Genotypes that differ in one operation or one input, one a line."""

    genotype: Given
    """A library name, a file, or an architecture string of NAS-Bench-201."""
    seed: int = 0
    """Equal seeds give equal neighbours."""
    count: int = 1
    """How many, all different."""
    ops: tuple[str, ...] = DERIVED_OPS
    """Operations that an edge of the DARTS family's cells may take."""


@dataclass(frozen=True)
class Draw:
    """A picture of a genotype's cells."""

    genotype: Given
    """A library name, a file, or an architecture string of NAS-Bench-201."""
    output: Path
    """What to write: .svg; of the DARTS family's cells also .dot and .png."""
    theme: Literal["auto", "light", "dark"] = "auto"
    """Colours of .svg and .png; auto lets an .svg follow its viewer."""


@dataclass(frozen=True)
class Schema:
    """Print the JSON Schema of genotype files, for editors."""
