"""What a search space is: all that searching, retraining and reporting know of it.

No file outside this folder knows what a space is made of. A new space is one file here and one row of ``SPACES``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from genotypes.formats.registry import Genotype
from supernet.choice import ChoiceTable, Picks
from supernet.errors import SpaceError


@dataclass(frozen=True)
class SpaceOptions:
    """What a run says of its space. A space takes what applies to it and refuses what it cannot do.

    Attributes:
        shape: of the data set's examples and answers.
        channels, layers: width and depth, in the space's own unit.
        nodes: of what is searched; the space's own number where not given.
        stem: how an image enters.
        candidates: the name of a reduced space, where the space has some; ``darts`` for the whole.
        without: candidates that are left out.
        partial: candidates see one in so many channels.
        allowed: table label -> each row's candidates, where they are not all.
        searching: whether there will be a supernet.
        dropouts: what is dropped of a language model -> its probability; the space's own where not given.
    """

    shape: Any
    channels: int = 16
    layers: int = 8
    nodes: int | None = None
    stem: str = "auto"
    candidates: str = "darts"
    without: tuple[str, ...] = ()
    partial: int = 1
    allowed: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    searching: bool = True
    dropouts: Mapping[str, float] = field(default_factory=dict)

    def require(self, kind: type, reads: str) -> None:
        """Say that a space reads data of one kind alone.

        Args:
            kind: of the shape.
            reads: what it reads, for people.

        Raises:
            SpaceError: where the data set's shape is another.
        """
        if not isinstance(self.shape, kind):
            raise SpaceError(f"this space reads {reads}, and the data set holds none: set --space.name or --data.name")

    def refuse_reduced(self) -> None:
        """Say that a space has no reduced ones.

        Raises:
            SpaceError: where one is named.
        """
        if self.candidates != "darts":
            raise SpaceError(f"--space.candidates {self.candidates} is a part of the DARTS space alone")

    def kept(self, candidates: tuple[str, ...]) -> tuple[str, ...]:
        """A space's candidates, without those that are left out.

        Raises:
            SpaceError: where none is left.
        """
        left = tuple(name for name in candidates if name not in self.without)
        if not left:
            raise SpaceError(f"--method.without {' '.join(self.without)} leaves out every candidate of the space")
        return left


class SearchSpace(Protocol):
    """A supernet's decisions, and what follows from them."""

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """What is decided."""

    @property
    def titles(self) -> Mapping[str, list[str]]:
        """Table label -> what each row decides, for people."""

    def supernet(self, backend: str = "batched") -> nn.Module:
        """The network to search in; called with its inputs and gates."""

    def network(self, genotype: Genotype, auxiliary: bool = False, searched: bool = False) -> nn.Module:
        """The network of a genotype.

        Args:
            genotype: of this space.
            auxiliary: whether it has an auxiliary head.
            searched: whether its operations are those of the supernet, so that ``inherit`` makes both equal; else
                those that are trained from scratch.

        Raises:
            SpaceError: where the genotype is of another space, or there is no such head.
        """

    def derive(self, picks: Picks) -> Genotype:
        """The genotype of what a discretization kept."""

    def inherit(self, network: nn.Module, supernet: nn.Module, genotype: Genotype) -> None:
        """Hand the weights of a supernet to a ``searched`` network of a genotype: it then equals the supernet under the
        genotype's one-hot gates."""

    def figures(self, genotype: Genotype) -> dict[str, Any]:
        """What is worth logging of a genotype: numbers, and short texts."""

    def skipped(self, genotype: Genotype) -> tuple[int, int]:
        """How many edges are skip connections, of how many: of those in which a collapse shows, if any."""


@dataclass(frozen=True)
class Row:
    """A row of ``SPACES``.

    Attributes:
        make: builds the space; raises ``SpaceError`` where the options do not fit.
        genotype: the type of its results.
    """

    make: Callable[[SpaceOptions], SearchSpace]
    genotype: type
