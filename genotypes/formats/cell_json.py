"""Cells as versioned JSON, which names both ends of an edge and holds one edge a line::

{
  "$schema": "genotype.schema.json",
  "format": "cell-genotype",
  "version": 1,
  "name": "DARTS_V2",
  "normal": {
    "nodes": [
      [
        {"op": "sep_conv_3x3", "from": 0},
        {"op": "sep_conv_3x3", "from": 1}
      ]
    ],
    "concat": [2]
  },
  "reduce": { ... }
}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genotypes.faults import MAX_FAULTS, Fault, is_int, nearest, quote, within
from genotypes.formats.json_document import field_fault, read_document, write_document
from genotypes.formats.json_reader import read_json
from genotypes.formats.validation import PLACEHOLDER, cells_from, read_states
from genotypes.types.cell import LABELS, MAX_NODES, Cell, CellGenotype, Edge

FORMAT = "cell-genotype"


def to_json(genotype: CellGenotype, extra: Mapping[str, Any] | None = None) -> str:
    """Return versioned JSON with a stable field order. ``extra`` holds further JSON fields to keep."""
    return write_document(FORMAT, genotype, cell_fields(genotype), extra)


def cell_fields(genotype: CellGenotype) -> dict[str, Any]:
    """Return the fields of both cells."""
    return {
        label: {
            "nodes": [[{"op": edge.op, "from": edge.source} for edge in edges] for edges in cell.nodes],
            "concat": list(cell.concat),
        }
        for label, cell in zip(LABELS, (genotype.normal, genotype.reduce))
    }


def from_json(text: str, source: str = "genotype") -> CellGenotype:
    """Read versioned JSON.

    Args:
        text: the document.
        source: its name in an error, such as the file's path.

    Raises:
        GenotypeError: naming line and field of everything that is missing, of a wrong type or out of range.
    """
    genotype = read_document(read_json(text), read_cells, LABELS, (FORMAT,), source).genotype
    assert isinstance(genotype, CellGenotype)
    return genotype


def extra_fields(text: str, source: str = "genotype") -> dict[str, Any]:
    """Return the fields of a document that do not describe its cells: a library file's paper, source, figures."""
    return dict(read_document(read_json(text), read_cells, LABELS, (FORMAT,), source).extra)


def read_cells(document: Mapping[str, Any]) -> CellGenotype:
    """Read both cells of a document.

    Raises:
        GenotypeError: with all faults of both.
    """
    faults: list[Fault] = []
    cells = [_cell(document, label, faults) for label in LABELS]
    return cells_from(cells, faults)


def _cell(document: Mapping[str, Any], label: str, faults: list[Fault]) -> Cell | None:
    value = document.get(label)
    if not isinstance(value, dict):
        faults.append(field_fault(document, label, "an object with nodes and concat", LABELS))
        return None
    _check_keys(value, ("nodes", "concat"), label, faults)
    concat = read_states(value.get("concat"), f"{label}.concat", faults)
    rows = value.get("nodes")
    if not isinstance(rows, list) or len(rows) > MAX_NODES:
        found = f"{len(rows)} nodes" if isinstance(rows, list) else quote(rows)
        faults.append(Fault(f"{label}.nodes", found, f"a list of at most {MAX_NODES} nodes"))
        return None
    nodes: list[tuple[Edge, ...]] = []
    for index, edges in enumerate(rows):
        if isinstance(edges, list):
            nodes.append(tuple(_edge(edge, f"{label}.nodes[{index}][{i}]", faults) for i, edge in enumerate(edges)))
        else:
            faults.append(Fault(f"{label}.nodes[{index}]", quote(edges), "a list of edges"))
            nodes.append((PLACEHOLDER,))
    return Cell(tuple(nodes), concat)


def _edge(value: Any, path: str, faults: list[Fault]) -> Edge:
    if not isinstance(value, dict):
        faults.append(Fault(path, quote(value), 'an edge {"op": name, "from": state}'))
        return PLACEHOLDER
    complete = _check_keys(value, ("op", "from"), path, faults)
    op, source = (value.get(key) for key in ("op", "from"))
    if not isinstance(op, str):
        if complete or "op" in value:
            faults.append(Fault(f"{path}.op", quote(op), "an operation's name"))
        op = PLACEHOLDER.op
    if not is_int(source):
        if complete or "from" in value:
            faults.append(Fault(f"{path}.from", quote(source), "a state's number"))
        source = PLACEHOLDER.source
    assert isinstance(source, int)
    return Edge(op, source)


def _check_keys(value: Mapping[str, Any], allowed: Sequence[str], path: str, faults: list[Fault]) -> bool:
    """Name the unknown fields of an object. Where there are none, a missing one is reported by the caller."""
    unknown = [key for key in value if key not in allowed]
    for key in unknown[: MAX_FAULTS - len(faults) if len(faults) < MAX_FAULTS else 0]:
        faults.append(Fault(within(path, key), f"a field {quote(key)}", nearest(key, allowed)))
    return not unknown
