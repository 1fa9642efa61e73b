"""What every reader of genotypes ends with: a validated genotype, or all faults at once, each with its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from genotypes.types.cell import MAX_FAULTS, Cell, CellGenotype, Edge, Fault, GenotypeError, cell_faults, quote

LABELS = ("normal", "reduce")
MAX_NODES = 256

PLACEHOLDER = Edge("none", 0)
"""Stands for an edge that could not be read, so that those behind it keep their numbers."""

NO_STATE = -1
"""Stands for a state that could not be read."""


@dataclass(frozen=True)
class Reading:
    """A genotype as it was read from a text.

    Attributes:
        genotype: what the text describes.
        lines: the line of each field, ``normal.nodes[0][1].op`` -> 14.
        extra: what a JSON document holds beside the cells.
    """

    genotype: CellGenotype
    lines: Mapping[str, int]
    extra: Mapping[str, Any] = field(default_factory=dict)


def finish(
    cells: Sequence[Cell | None],
    name: str | None,
    faults: Sequence[Fault],
    lines: Mapping[str, int],
    source: str,
    extra: Mapping[str, Any] | None = None,
) -> Reading:
    """Validate what was read.

    Args:
        cells: normal and reduction; None where too little of one could be read to say more about it.
        name: of the genotype.
        faults: found while reading; further ones of the same fields are not repeated.
        lines: see ``Reading``.
        source: what to call the text in an error, such as the file's path.
        extra: see ``Reading``.

    Raises:
        GenotypeError: with all faults, by line.
    """
    known = {fault.field for fault in faults}
    for label, cell in zip(LABELS, cells):
        found = cell_faults(cell, label) if cell is not None else []
        faults = [*faults, *(fault for fault in found if fault.field not in known)]
    if faults:
        placed = [fault if fault.line else replace(fault, line=line_of(lines, fault.field)) for fault in faults]
        raise GenotypeError(sorted(placed, key=lambda fault: fault.line or 0)[: 2 * MAX_FAULTS], source)
    return Reading(CellGenotype(*cells, name=name), lines, extra or {})


def line_of(lines: Mapping[str, int], field: str) -> int | None:
    """The line of a field; of what it would stand in where it is missing."""
    while field and field not in lines:
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    return lines.get(field)


def read_states(value: Any, field: str, faults: list[Fault]) -> tuple[int, ...]:
    """A list of states, as of a concatenation."""
    if not isinstance(value, list) or not value:
        faults.append(Fault(field, quote(value) if value != [] else "an empty list", "a list of states"))
        return ()
    wrong = [index for index, state in enumerate(value) if not is_int(state)][:MAX_FAULTS]
    faults += [Fault(f"{field}[{index}]", quote(value[index]), "a state's number") for index in wrong]
    return tuple(state if is_int(state) else NO_STATE for state in value)


def is_int(value: Any) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)
