"""Differences between two genotypes, edge by edge."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from genotypes.types.cell import LABELS, Cell, CellGenotype, Edge


@dataclass(frozen=True)
class Difference:
    """The values of a field in the first genotype and in the second; an empty text where there is none.

    ``field`` is a node, as ``normal.nodes[2]``, or a cell's ``concat``.
    """

    field: str
    first: str
    second: str


def differences(first: CellGenotype, second: CellGenotype) -> list[Difference]:
    """Return all differences, cell by cell and node by node. Equal architectures have none, whatever their names.

    Edges of one node are matched by their source, then by their operation, then in order.
    """
    found = []
    for label in LABELS:
        a, b = getattr(first, label), getattr(second, label)
        for index in range(max(len(a.nodes), len(b.nodes))):
            path = f"{label}.nodes[{index}]"
            if index >= min(len(a.nodes), len(b.nodes)):
                found.append(Difference(path, *(_node(cell, index) for cell in (a, b))))
            else:
                pairs = _matched(list(a.nodes[index]), list(b.nodes[index]))
                rows = [Difference(path, *map(_edge, pair)) for pair in pairs]
                if not rows and a.nodes[index] != b.nodes[index]:
                    rows = [Difference(path, *(_node(cell, index) for cell in (a, b)))]
                found += rows
        if a.concat != b.concat:
            found.append(Difference(f"{label}.concat", *(", ".join(map(str, cell.concat)) for cell in (a, b))))
    return found


def differing_entries(first: Mapping[str, str], second: Mapping[str, str]) -> list[Difference]:
    """Return the differences of two genotypes that are given as field -> value."""
    fields = dict.fromkeys((*first, *second))
    pairs = [Difference(field, first.get(field, ""), second.get(field, "")) for field in fields]
    return [difference for difference in pairs if difference.first != difference.second]


def _matched(first: list[Edge], second: list[Edge]) -> list[tuple[Edge | None, Edge | None]]:
    """Return the edges that are not the same in both, in pairs."""
    for edge in tuple(first):
        if edge in second:
            first.remove(edge)
            second.remove(edge)
    pairs: list[tuple[Edge | None, Edge | None]] = []
    for key in ("source", "op"):
        for edge in tuple(first):
            partner = next((other for other in second if getattr(other, key) == getattr(edge, key)), None)
            if partner is not None:
                pairs.append((edge, partner))
                first.remove(edge)
                second.remove(partner)
    return [*pairs, *itertools.zip_longest(first, second)]


def _node(cell: Cell, index: int) -> str:
    """Return all edges of a node in their order."""
    if index >= len(cell.nodes):
        return ""
    return ", ".join(map(_edge, cell.nodes[index])) or "no input"


def _edge(edge: Edge | None) -> str:
    return f"{edge.op} from {edge.source}" if edge else ""
