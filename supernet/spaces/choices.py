"""Spaces whose every decision is one of several names under a label, and whose architectures are label -> name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from genotypes.types.choices import ChoicesGenotype
from supernet.choice import ChoiceTable, Picks
from supernet.conditions import canonical, violation
from supernet.errors import SpaceError
from supernet.spaces.space import SearchSpace

Condition = Sequence[tuple[tuple[str, str], ...]]
"""When a decision takes part, as ``ChoiceTable.when``; an alternative without pairs always holds."""

ALWAYS: Condition = ((),)


def choice_table(
    label: str,
    candidates: Sequence[Any],
    when: Condition = ALWAYS,
    allowed: tuple[tuple[str, ...], ...] | None = None,
    picks: int = 1,
) -> ChoiceTable:
    """Return the table of one decision, which has to be made where it takes part.

    Args:
        label: of the decision.
        candidates: names, or numbers.
        when: it takes part.
        allowed: as of ``ChoiceTable``.
        picks: number of candidates that are chosen.
    """
    return ChoiceTable(
        label,
        tuple(map(name_of, candidates)),
        groups=(1,),
        allowed=allowed,
        keep=None,
        dropped=(),
        picks=picks,
        required=True,
        when=() if () in when else tuple(dict.fromkeys(when)),
    )


def name_of(candidate: Any) -> str:
    """Return the name of a candidate that is a name or a number."""
    return candidate if isinstance(candidate, str) else f"{candidate:g}"


def at_least(label: str, numbers: Sequence[int], least: int) -> Condition:
    """Return the condition that a number is chosen under a label that is ``least`` or more."""
    enough = [number for number in numbers if number >= least]
    return ALWAYS if len(enough) == len(numbers) else [((label, name_of(number)),) for number in enough]


class ChoicesSpace(SearchSpace):
    """A space whose genotypes are the names chosen under each label that takes part.

    Attributes:
        name: of the space, for messages.
    """

    name: ClassVar[str]

    def derive(self, picks: Picks) -> ChoicesGenotype:
        """Return the names kept under each label that takes part."""
        found = canonical(self.tables, picks)
        return ChoicesGenotype(tuple((label, tuple(name for _, name in pairs)) for label, pairs in found.items()))

    def picks(self, genotype: ChoicesGenotype) -> Picks:
        """Return the name of each decision that takes part.

        Raises:
            SpaceError: where a decision is missing or takes no part, or a name is none of its candidates.
        """
        if not isinstance(genotype, ChoicesGenotype):
            raise SpaceError(f"this space needs label -> names, not a {type(genotype).__name__}")
        found = {label: tuple((0, name) for name in names) for label, names in genotype.picks}
        fault = violation(self.tables, found)
        if fault:
            raise SpaceError(f"the genotype is not of the space {self.name}: {fault}")
        kept = canonical(self.tables, found)
        spare = [label for label in found if label not in kept]
        if spare:
            raise SpaceError(f"{spare[0]!r} is decided, but takes no part in the network of this genotype")
        return kept

    def kept(self, genotype: ChoicesGenotype) -> dict[str, str]:
        """Return the name under each label that takes part.

        Raises:
            SpaceError: as of ``picks``.
        """
        return {label: name for label, ((_, name),) in self.picks(genotype).items()}
