"""What a search space is: all that searching, retraining and reporting know of it.

No file outside this folder knows what a space is made of. A new space is one file here and one row of ``SPACES``.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from genotypes.kinds import Genotype
from supernet.choice import ChoiceTable, Picks


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
