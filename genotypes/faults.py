"""Faults of genotypes: what is wrong, where, and what is allowed there; and how messages quote what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from genotypes.errors import InputError

MAX_FAULTS = 50
"""Faults that are listed of one cell or list; a damaged file can hold any number."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a genotype.

    ``field`` is a path such as ``normal.nodes[2][0].op``; ``found`` is the value there and ``allowed`` describes the
    valid ones. ``line`` counts from 1 and is known where the genotype was read from a text.
    """

    field: str
    found: str
    allowed: str
    line: int | None = None

    def __str__(self) -> str:
        position = f"line {self.line}, {self.field}" if self.line else self.field
        return f"{position}: found {self.found}, allowed {self.allowed}"


class GenotypeError(InputError, ValueError):
    """A genotype that does not describe a network. ``faults`` lists everything that was found wrong."""

    def __init__(self, faults: Sequence[Fault], source: str = "genotype"):
        self.faults = tuple(faults)
        self.source = source
        super().__init__(f"{source}: " + "; ".join(str(fault) for fault in self.faults))

    def within(self, source: str) -> "GenotypeError":
        """Return the same faults, attributed to a file or another named source."""
        return GenotypeError(self.faults, source)

    def at_lines(self, lines: Mapping[str, int], default: int | None = None) -> "GenotypeError":
        """Return the same faults sorted by the lines of their fields; ``default`` is the line of unknown fields."""
        located = [replace(fault, line=fault.line or line_of(lines, fault.field) or default) for fault in self.faults]
        return GenotypeError(sorted(located, key=lambda fault: fault.line or 0)[: 2 * MAX_FAULTS], self.source)


def line_of(lines: Mapping[str, int], field: str) -> int | None:
    """Return the line of a field, or of the innermost known field around a missing one."""
    while field and field not in lines:
        field = field[: max(field.rfind("."), field.rfind("["), field.rfind(","), 0)]
    return lines.get(field)


def nearest(name: str, names: Sequence[str]) -> str:
    """Return the suggestion for a misspelt name: the closest valid name, or all of them."""
    close = get_close_matches(name, names, n=1)
    return f"{close[0]!r} (nearest)" if close else "one of " + ", ".join(names)


def quote(value: Any) -> str:
    """Return a value as a message quotes it: short and on one line."""
    descriptions = {dict: "an object", list: "a list", tuple: "a list", type(None): "nothing"}
    if type(value) in descriptions:
        return descriptions[type(value)]
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a huge number"
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def within(path: str, key: str) -> str:
    """Return the path of an object's field, short and on one line whatever its name."""
    name = key[:40] if key.isprintable() else quote(key[:40])
    return f"{path}.{name}" if path else name


def is_int(value: Any) -> bool:
    """Return whether a value is an integer and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)
