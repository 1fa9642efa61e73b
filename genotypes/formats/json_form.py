"""Genotypes as text: versioned JSON here, the DARTS family's namedtuple notation in ``notation``. Never evaluated.

The JSON form names the edge's two ends and holds one edge a line, so that an edited edge is one changed line::

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

``genotype.schema.json``, beside this file, describes it for editors.
"""

import json
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from genotypes.formats.json_reader import read_json, within
from genotypes.formats.namedtuple_text import is_identifier, read_text, to_text
from genotypes.formats.validation import LABELS, MAX_NODES, PLACEHOLDER, Reading, finish, is_int, read_states
from genotypes.types.cell import MAX_FAULTS, Cell, CellGenotype, Edge, Fault, GenotypeError, nearest, quote

FORMAT = "cell-genotype"
FORMATS = (FORMAT, "nasbench201-genotype", "recurrent-genotype", "choices-genotype")
"""Of genotypes of every kind; those beside cells are read by ``genotypes.formats.registry``."""

VERSION = 1
FIELDS = ("$schema", "format", "version", "name", *LABELS)
SCHEMA = Path(__file__).parent.parent / "genotype.schema.json"

FORMS = ("json", "text", "triples", "nested", "edges")
"""What a genotype can be written as; see ``write`` and ``to_text``. All of them are told apart when read."""


def read(text: str, source: str = "genotype") -> Reading:
    """Read a genotype in any form, with the line of every field.

    Raises:
        GenotypeError: with all faults, by line.
    """
    return read_document(text, source) if text.lstrip()[:1] in ("{", "") else read_text(text, source)


def write(genotype: CellGenotype, form: str, extra: Mapping[str, Any] | None = None) -> str:
    """A genotype as a document in one of ``FORMS``, with its name where it has one.

    Raises:
        GenotypeError: where the form cannot express the genotype; see ``to_text``.
    """
    if form == "json":
        return to_json(genotype, extra)
    head = f"{genotype.name} = " if genotype.name and is_identifier(genotype.name) else ""
    return f"{head}{to_text(genotype, form)}\n"


def to_json(genotype: CellGenotype, extra: Mapping[str, Any] | None = None) -> str:
    """Versioned JSON with a stable field order and one edge a line. ``extra`` holds further JSON fields to keep."""
    head = {"$schema": SCHEMA.name, "format": FORMAT, "version": VERSION, "name": genotype.name, **(extra or {})}
    lines = ["{"]
    for key, value in head.items():
        if value is not None:
            text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
            lines.append(f"  {json.dumps(key, ensure_ascii=False)}: {text},")
    for label, cell in zip(LABELS, (genotype.normal, genotype.reduce)):
        nodes = []
        for edges in cell.nodes:
            rows = [f'        {{"op": {json.dumps(edge.op)}, "from": {edge.source}}}' for edge in edges]
            nodes.append("      [\n" + ",\n".join(rows) + "\n      ]" if rows else "      []")
        lines += [f'  "{label}": {{', '    "nodes": [', ",\n".join(nodes), "    ],"]
        lines += [f'    "concat": {json.dumps(list(cell.concat))}', "  }" + ("," if label == "normal" else "")]
    return "\n".join([*lines, "}"]) + "\n"


def schema_from(folder: str | Path) -> dict[str, str]:
    """The JSON field by which an editor finds the schema from a file in this folder, for ``extra`` of ``to_json``."""
    try:
        return {"$schema": Path(os.path.relpath(SCHEMA, folder)).as_posix()}
    except ValueError:  # on Windows, no path leads from one drive to another
        return {"$schema": SCHEMA.as_uri()}


def from_json(text: str, source: str = "genotype") -> CellGenotype:
    """Read the versioned JSON form.

    Args:
        text: the document.
        source: what to call it in an error, such as the file's path.

    Raises:
        GenotypeError: naming line and field of all that is missing, of a wrong type or out of range.
    """
    return read_document(text, source).genotype


def extra_fields(text: str, source: str = "genotype") -> dict[str, Any]:
    """What a JSON document holds beside the cells: a library file's paper, source, reported figures."""
    return dict(read_document(text, source).extra)


def read_document(text: str, source: str = "genotype") -> Reading:
    """``from_json`` with the line of every field, and the fields that describe no cell."""
    located = read_json(text)
    document = located.value
    if not isinstance(document, dict):
        fault = Fault("file", quote(document), "an object with normal and reduce")
        raise GenotypeError(located.faults or [fault], source)
    faults: list[Fault] = []
    if document.get("format") != FORMAT:
        given = document.get("format")
        faults.append(_wrong(document, "format", nearest(given, FORMATS) if isinstance(given, str) else repr(FORMAT)))
    if document.get("version") != VERSION or isinstance(document.get("version"), bool):
        faults.append(_wrong(document, "version", str(VERSION)))
    for key in ("name", "$schema"):
        value = document.get(key)
        if value is not None and not is_printable(value):
            faults.append(Fault(key, quote(value), "a printable string of at most 200 characters"))
    cells = [_cell(document, label, faults) for label in LABELS]
    extra = {key: value for key, value in document.items() if key not in ("format", "version", *LABELS)}
    unread = {fault.field for fault in located.faults}
    faults = [*located.faults, *(fault for fault in faults if fault.field not in unread)]
    return finish(cells, document.get("name"), faults, located.lines, source, extra)


def is_printable(value: Any) -> bool:
    """Whether a value can be a name: text that fits on a line."""
    return isinstance(value, str) and value.isprintable() and len(value) <= 200


def _cell(document: Mapping[str, Any], label: str, faults: list[Fault]) -> Cell | None:
    value = document.get(label)
    if not isinstance(value, dict):
        faults.append(_wrong(document, label, "an object with nodes and concat"))
        return None
    _check_keys(value, ("nodes", "concat"), label, faults)
    concat = read_states(value.get("concat"), f"{label}.concat", faults)
    listed = value.get("nodes")
    if not isinstance(listed, list) or len(listed) > MAX_NODES:
        found = f"{len(listed)} nodes" if isinstance(listed, list) else quote(listed)
        faults.append(Fault(f"{label}.nodes", found, f"a list of at most {MAX_NODES} nodes"))
        return None
    nodes = []
    for index, edges in enumerate(listed):
        if isinstance(edges, list):
            nodes.append(tuple(_edge(edge, f"{label}.nodes[{index}][{i}]", faults) for i, edge in enumerate(edges)))
        else:
            faults.append(Fault(f"{label}.nodes[{index}]", quote(edges), "a list of edges"))
            nodes.append((PLACEHOLDER,))
    return Cell(tuple(nodes), concat)


def _edge(value: Any, where: str, faults: list[Fault]) -> Edge:
    if not isinstance(value, dict):
        faults.append(Fault(where, quote(value), 'an edge {"op": name, "from": state}'))
        return PLACEHOLDER
    complete = _check_keys(value, ("op", "from"), where, faults)
    op, source = (value.get(key) for key in ("op", "from"))
    if not isinstance(op, str):
        if complete or "op" in value:
            faults.append(Fault(f"{where}.op", quote(op), "an operation's name"))
        op = PLACEHOLDER.op
    if not is_int(source):
        if complete or "from" in value:
            faults.append(Fault(f"{where}.from", quote(source), "a state's number"))
        source = PLACEHOLDER.source
    return Edge(op, source)


def _check_keys(value: Mapping[str, Any], wanted: Sequence[str], where: str, faults: list[Fault]) -> bool:
    """Name the unknown fields of an object. Without any, a wanted one that is missing is a fault of its own."""
    unknown = [key for key in value if key not in wanted]
    for key in unknown[: MAX_FAULTS - len(faults) if len(faults) < MAX_FAULTS else 0]:
        faults.append(Fault(within(where, key), f"a field {quote(key)}", nearest(key, wanted)))
    return not unknown


def _wrong(document: Mapping[str, Any], key: str, allowed: str) -> Fault:
    """A field of the document that is missing or not as it should be; where it is missing, one that looks like it."""
    others = [other for other in document if other not in FIELDS and len(other) < 20][:50]
    close = get_close_matches(key, others, n=1) if key not in document else []
    if close:
        return Fault(within("", close[0]), f"a field {quote(close[0])}", nearest(close[0], (key,)))
    return Fault(key, quote(document.get(key)), allowed)
