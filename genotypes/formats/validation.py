"""The last step of every reader: a validated genotype, or all faults at once, each with its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genotypes.faults import MAX_FAULTS, Fault, GenotypeError, is_int, quote
from genotypes.types.cell import LABELS, Cell, CellGenotype, Edge, cell_faults
from genotypes.types.genotype import Genotype

PLACEHOLDER = Edge("none", 0)
"""Takes the position of an edge that could not be read, so that the following ones keep their numbers."""

NO_STATE = -1
"""Takes the position of a state that could not be read."""


@dataclass(frozen=True)
class LocatedGenotype:
    """A genotype that was read from a text, with the positions of its fields.

    Attributes:
        genotype: read from the text.
        lines: the line of each field, ``normal.nodes[0][1].op`` -> 14.
        extra: the further fields of a JSON document, which do not describe the architecture.
    """

    genotype: Genotype
    lines: Mapping[str, int]
    extra: Mapping[str, Any] = field(default_factory=dict)


def cells_from(cells: Sequence[Cell | None], faults: Sequence[Fault]) -> CellGenotype:
    """Validate the cells that were read.

    Args:
        cells: normal and reduction; None where too little of one could be read for further checks.
        faults: found while reading; further ones of the same fields are not repeated.

    Raises:
        GenotypeError: with all faults.
    """
    known = {fault.field for fault in faults}
    for label, cell in zip(LABELS, cells):
        found = cell_faults(cell, label) if cell is not None else []
        faults = [*faults, *(fault for fault in found if fault.field not in known)]
    normal, reduce = cells
    if faults or normal is None or reduce is None:
        raise GenotypeError(faults)
    return CellGenotype(normal, reduce)


def read_states(value: Any, field: str, faults: list[Fault]) -> tuple[int, ...]:
    """Read a list of states, such as a concatenation."""
    if not isinstance(value, list) or not value:
        faults.append(Fault(field, quote(value) if value != [] else "an empty list", "a list of states"))
        return ()
    wrong = [index for index, state in enumerate(value) if not is_int(state)][:MAX_FAULTS]
    faults += [Fault(f"{field}[{index}]", quote(value[index]), "a state's number") for index in wrong]
    return tuple(state if is_int(state) else NO_STATE for state in value)
