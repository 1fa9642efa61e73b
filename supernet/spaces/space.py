"""The protocol of search spaces: all that searching, retraining and reporting know of a space.

No file outside this folder knows what the networks of a space are made of. A new space is one file here and one row of
``SPACES``. Spaces inherit from ``SearchSpace``, which gives the optional members their defaults.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, TypeVar

from torch import nn

from genotypes import Genotype
from supernet.choice import ChoiceTable, Picks
from supernet.conditions import violation
from supernet.errors import SpaceError
from supernet.parts import Part
from supernet.shapes import ImageShape

Own = TypeVar("Own")


@dataclass(frozen=True)
class SpaceOptions:
    """The options of a run that any space may have. A space refuses what it does not support.

    Attributes:
        shape: of the data set's examples and answers (``supernet.shapes``).
        channels: width, in the space's own unit.
        layers: depth, in the space's own unit.
        without: candidates that are left out.
        partial: candidates see 1/``partial`` of the channels (PC-DARTS).
        allowed: table label -> each row's candidates, where they are not all.
        searching: whether a supernet will be built.
        own: an instance of the dataclass that the space's row of ``SPACES`` names; None for its defaults.
    """

    shape: Any
    channels: int = 16
    layers: int = 8
    without: tuple[str, ...] = ()
    partial: int = 1
    allowed: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    searching: bool = True
    own: Any = None

    def require(self, kind: type, reads: str, targets: Collection[str] = ("class",)) -> None:
        """Refuse a data set of the wrong kind.

        Args:
            kind: of the shape that the space supports.
            reads: the kind of data, as the message names it.
            targets: of images that its networks have heads for, of ``supernet.heads.HEADS``.

        Raises:
            SpaceError: where the data set's shape is another.
        """
        if not isinstance(self.shape, kind):
            raise SpaceError(
                f"this space reads {reads}, which the data set does not hold: set `space.name` or `data.name`"
            )
        if isinstance(self.shape, ImageShape) and self.shape.target not in targets:
            raise SpaceError(
                f"this space has no head that predicts {self.shape.target} of images: "
                "set `space.name` to darts, nasbench201, nasbenchmacro or mobile"
            )

    def own_as(self, kind: type[Own]) -> Own:
        """Return the space's own options; its defaults where none are given.

        Raises:
            SpaceError: where they belong to another space.
        """
        own = kind() if self.own is None else self.own
        if not isinstance(own, kind):
            raise SpaceError(f"this space has the options {kind.__name__}, not {type(own).__name__}")
        return own

    def kept(self, candidates: tuple[str, ...]) -> tuple[str, ...]:
        """Return a space's candidates, without those that are left out.

        Raises:
            SpaceError: where none is left.
        """
        left = tuple(name for name in candidates if name not in self.without)
        if not left:
            raise SpaceError(f"`method.without` {' '.join(self.without)} leaves out every candidate of the space")
        return left


def require_candidate(table: ChoiceTable, row: int, name: str, where: str) -> None:
    """Refuse an operation that a row of a table does not have.

    Args:
        table, row: of the decision.
        name: of the operation.
        where: the field of the genotype that holds it.

    Raises:
        SpaceError: naming the field and what the row has.
    """
    if name not in table.candidates or not table.permits(row, name):
        there = ", ".join(other for other in table.candidates if table.permits(row, other))
        raise SpaceError(f"{where}: {name!r} is no candidate there; this space has {there}")


class SearchSpace(Protocol):
    """The decisions of a space, its supernet, and the networks that it contains.

    Attributes:
        constrained: whether ``valid`` refuses picks that the tables alone would permit.
        has_supernet: whether ``supernet`` and ``inherit`` are there; else architectures are only trained by themselves.
    """

    constrained: ClassVar[bool] = False
    has_supernet: ClassVar[bool] = True

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """The decisions of an architecture."""
        ...

    @property
    def titles(self) -> Mapping[str, list[str]]:
        """Table label -> a readable name of each row; by default how many of how many candidates are kept."""
        return {table.label: [f"{table.picks} of {len(table.candidates)}"] * table.rows for table in self.tables}

    def supernet(self, backend: Any = "batched") -> nn.Module:
        """Return the network to search in; it is called with its inputs and gates."""
        ...

    def network(self, genotype: Any, auxiliary: bool = False, searched: bool = False) -> nn.Module:
        """Return the network of a genotype.

        Args:
            genotype: of this space.
            auxiliary: whether it has an auxiliary head.
            searched: whether its operations are those of the supernet, so that ``inherit`` makes both equal; else
                those that are trained from scratch.

        Raises:
            SpaceError: where the genotype is of another space, or there is no such head.
        """
        ...

    def derive(self, picks: Picks) -> Genotype:
        """Return the genotype of the pairs that a discretization kept."""
        ...

    def picks(self, genotype: Any) -> Picks:
        """Return the pairs that ``derive`` makes this genotype of, in its own order.

        A genotype may leave decisions open that ``derive`` does not need, such as the second edge into a node; whether
        the picks are a whole architecture is asked of ``valid``.

        Raises:
            SpaceError: where the genotype is not of this space; the message names the part that does not fit.
        """
        ...

    def valid(self, picks: Picks) -> str | None:
        """Return why picks are no architecture of this space, in one line; None where they are one."""
        return violation(self.tables, picks)

    def completable(self, picks: Picks) -> bool:
        """Return False where some pairs of an architecture already rule out a valid one; enumerating skips these.

        Args:
            picks: of every table those pairs that are decided so far.
        """
        return True

    def inherit(self, network: Any, supernet: Any, genotype: Any) -> None:
        """Copy the weights of a supernet to a ``searched`` network of a genotype: it then equals the supernet under the
        genotype's one-hot gates."""
        ...

    def connected(self, genotype: Any) -> bool:
        """Whether the input reaches the output in a genotype's network; else it can learn nothing of it.

        Genotypes that can be without a path have an attribute of this name.
        """
        return bool(getattr(genotype, "connected", True))

    def figures(self, genotype: Any) -> dict[str, Any]:
        """Return what is worth logging of a genotype: numbers, and short texts."""
        ...

    def skipped(self, genotype: Any) -> tuple[int, int]:
        """Return how many edges are skip connections, of how many, where a collapse shows in them; else 0, 0."""
        return 0, 0

    def check(self, run: Callable[[nn.Module], Any]) -> None:
        """Refuse a model that cannot be searched, by running it once on a batch, before anything is trained.

        Args:
            run: calls a model on a small batch.

        Raises:
            SpaceError: where it cannot; spaces that are correct by construction check nothing.
        """
        return None

    def parts(self, inputs: tuple[Any, ...]) -> list[Part] | None:
        """Return the candidates as they stand in the networks of the space; None where their costs do not add up.

        Args:
            inputs: of a network, such as ``shape.inputs(1)``.
        """
        return None

    @property
    def largest(self) -> Genotype | None:
        """The genotype whose network takes most memory to train; None where that is not known."""
        return None


@dataclass(frozen=True)
class NoOptions:
    """The options of a space that has none of its own."""


@dataclass(frozen=True)
class SpaceEntry:
    """A row of ``SPACES``.

    Attributes:
        make: builds the space; raises ``SpaceError`` where the options do not fit.
        genotype: the type of its results.
        options: the dataclass of the options that only this space has; every field has a default.
    """

    make: Callable[[SpaceOptions], SearchSpace]
    genotype: type
    options: type = NoOptions

    def own_options(self, given: Mapping[str, Any], offered: Mapping[str, Any] | None = None) -> Any:
        """Return the space's own options, for ``SpaceOptions.own``.

        Args:
            given: field -> value, of those that were set; each must be a field of this space.
            offered: field -> value, of those that belong to other parts of a configuration; taken where the space has
                such a field.

        Raises:
            SpaceError: naming the first given field that the space does not have.
        """
        names = {each.name for each in fields(self.options)}
        for name, value in given.items():
            if name not in names:
                raise SpaceError(f"`space.{name}` is {value}; it does not apply to this space: leave it out")
        return self.options(**{name: value for name, value in (offered or {}).items() if name in names}, **given)
