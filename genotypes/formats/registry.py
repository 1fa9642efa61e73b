"""Every kind of genotype: what its file holds, its text and its picture.

All files are JSON with ``format``, ``version``, perhaps ``name``, and what the kind's row says. Cells of the DARTS
family have formats of their own, in ``genotypes.formats.json_form``.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genotypes.draw.dag_svg import choices_svg, dag_svg
from genotypes.draw.svg import svg
from genotypes.formats import json_form
from genotypes.formats.json_form import is_printable, to_json
from genotypes.formats.json_reader import MAX_CHARACTERS, read_json, within
from genotypes.formats.namedtuple_text import to_text
from genotypes.formats.validation import Reading, line_of
from genotypes.load import load_with_lines, read_file
from genotypes.types.cell import MAX_FAULTS, CellGenotype, Edge, Fault, GenotypeError, quote
from genotypes.types.choices import ChoicesGenotype
from genotypes.types.nasbench201 import EDGES, NASBENCH201_STATES, NASBench201Genotype, from_string
from genotypes.types.recurrent import RecurrentGenotype, from_recurrent_text

Genotype = CellGenotype | NASBench201Genotype | RecurrentGenotype | ChoicesGenotype

VERSION = 1


@dataclass(frozen=True)
class Kind:
    """One kind of genotype that is kept in a file of its own format.

    Attributes:
        type: of the genotype.
        fields: what the file holds beside format, version and name.
        read: such fields -> the genotype; raises ``GenotypeError``.
        picture: a title and the genotype -> SVG.
    """

    type: type
    fields: Callable[[Any], dict[str, Any]]
    read: Callable[[Mapping[str, Any], str], Any]
    picture: Callable[[str, Any], str]


def describe(genotype: Genotype) -> str:
    """The architecture on one line, in its family's notation; choices as JSON, label -> names."""
    if isinstance(genotype, ChoicesGenotype):
        return json.dumps({label: list(names) for label, names in genotype.picks}, ensure_ascii=False)
    return to_text(genotype) if isinstance(genotype, CellGenotype) else str(genotype)


def entries(genotype: Genotype) -> dict[str, str]:
    """A genotype that is none of cells, as field -> what stands there, in order: what ``show`` and ``diff`` list."""
    if isinstance(genotype, NASBench201Genotype):
        return {f"{source} to {node}": op for (source, node), op in zip(EDGES, genotype.ops)}
    if isinstance(genotype, RecurrentGenotype):
        nodes = {f"nodes[{index}]": f"{edge.op} from {edge.source}" for index, edge in enumerate(genotype.nodes)}
        return {**nodes, "concat": ", ".join(map(str, genotype.concat))}
    return {label: ", ".join(names) for label, names in genotype.picks}


def write(genotype: Genotype, extra: Mapping[str, Any] | None = None) -> str:
    """The content of a genotype's file. ``extra`` holds further JSON fields to keep."""
    if isinstance(genotype, CellGenotype):
        return to_json(genotype, extra)
    name, kind = next((name, kind) for name, kind in KINDS.items() if isinstance(genotype, kind.type))
    head = {"$schema": json_form.SCHEMA.name, "format": name, "version": VERSION, "name": genotype.name}
    content = {**head, **(extra or {}), **kind.fields(genotype)}
    lines = [f"  {json.dumps(key)}: {_value(value)}" for key, value in content.items() if value is not None]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def picture(genotype: Genotype) -> str:
    """The genotype as SVG."""
    if isinstance(genotype, CellGenotype):
        return svg(genotype)
    kind = next(kind for kind in KINDS.values() if isinstance(genotype, kind.type))
    return kind.picture(genotype.name or describe(genotype), genotype)


def drawn(genotype: Genotype) -> bool:
    """Whether ``genotypes.draw`` has a layout of its own for it, as a picture and as text: for cells."""
    return isinstance(genotype, CellGenotype)


def find(name: str | Path) -> Genotype:
    """A genotype of any kind.

    Args:
        name: an architecture string of NAS-Bench-201, a name of the library, the path of a file, or a run's folder.

    Raises:
        GenotypeError: naming the file and what is wrong with it.
    """
    return find_with_lines(name).genotype


def find_with_lines(name: str | Path) -> Reading:
    """``find`` with the line of every field, and a JSON file's further fields."""
    if str(name).lstrip().startswith("|"):
        return Reading(from_string(str(name)), {})
    path = Path(name)
    path = path / "genotype.json" if os.path.isdir(path) else path
    return read_with_lines(read_file(path), str(path)) if os.path.isfile(path) else load_with_lines(name)


def read(text: str, source: str = "genotype") -> Genotype:
    """A genotype of any kind from what ``write`` or ``describe`` made of it.

    Raises:
        GenotypeError: with all faults, by line.
    """
    return read_with_lines(text, source).genotype


def read_with_lines(text: str, source: str = "genotype") -> Reading:
    """``read`` with the line of every field.

    Raises:
        GenotypeError: with all faults, by line.
    """
    if len(text) > MAX_CHARACTERS:
        return json_form.read(text, source)
    try:
        if text.lstrip().startswith("|"):
            return Reading(from_string(text, source), {})
        if re.match(r"\s*(\w+\s*=\s*)?Genotype\(\s*recurrent\b", text[:200]):
            return Reading(from_recurrent_text(text, source), {})
    except GenotypeError as error:
        raise _placed(error, {}, 1) from None
    mentioned = text.lstrip().startswith("{") and any(f'"{name}"' in text for name in KINDS)
    described = re.match(r'\s*\{\s*"[^"]*"\s*:\s*\[', text)
    located = read_json(text) if mentioned or described else None
    document = located.value if located else None
    if isinstance(document, dict) and document and all(isinstance(names, list) for names in document.values()):
        document = {"format": "choices-genotype", "version": VERSION, "choices": document}
    format_ = document.get("format") if isinstance(document, dict) else None
    if not isinstance(format_, str) or format_ not in KINDS:
        return json_form.read(text, source)
    if located.faults:
        raise GenotypeError(located.faults, source)
    try:
        genotype = _from_document(document, source)
    except GenotypeError as error:
        raise _placed(error, located.lines, located.lines.get("architecture")) from None
    known = {"format", "version", *KINDS[format_].fields(genotype)}
    extra = {key: value for key, value in document.items() if key not in known}
    return Reading(genotype, located.lines, extra)


def _placed(error: GenotypeError, lines: Mapping[str, int], otherwise: int | None = None) -> GenotypeError:
    """The same faults with the lines of their fields."""
    faults = [replace(fault, line=fault.line or line_of(lines, fault.field) or otherwise) for fault in error.faults]
    return GenotypeError(faults[:MAX_FAULTS], error.source)


def _from_document(document: Mapping[str, Any], source: str) -> Genotype:
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        raise GenotypeError([Fault("version", quote(version), str(VERSION))], source)
    for key in ("name", "$schema"):
        value = document.get(key)
        if value is not None and not is_printable(value):
            raise GenotypeError([Fault(key, quote(value), "a printable string of at most 200 characters")], source)
    try:
        return KINDS[document["format"]].read(document, source).named(document.get("name"))
    except GenotypeError as error:
        raise error.within(source) from None


def _read_nasbench201(document: Mapping[str, Any], source: str) -> NASBench201Genotype:
    text = document.get("architecture")
    if not isinstance(text, str):
        raise GenotypeError([Fault("architecture", quote(text), "a string |op~0|+...")], source)
    return from_string(text, source)


def _read_recurrent(document: Mapping[str, Any], source: str) -> RecurrentGenotype:
    nodes, concat = document.get("nodes"), document.get("concat")
    faults = []
    for index, edge in enumerate(nodes if isinstance(nodes, list) else [None]):
        whole = isinstance(edge, dict) and set(edge) == {"op", "from"}
        if not whole or not isinstance(edge["op"], str) or type(edge["from"]) is not int:
            faults.append(Fault(f"nodes[{index}]", quote(edge), 'an edge {"op": name, "from": state}'))
    if not isinstance(concat, list) or any(type(state) is not int for state in concat):
        faults.append(Fault("concat", quote(concat), "a list of states"))
    if faults:
        raise GenotypeError(faults, source)
    return RecurrentGenotype(tuple(Edge(edge["op"], edge["from"]) for edge in nodes), tuple(concat))


def _read_choices(document: Mapping[str, Any], source: str) -> ChoicesGenotype:
    choices = document.get("choices")
    if not isinstance(choices, dict):
        raise GenotypeError([Fault("choices", quote(choices), "an object: label -> list of names")], source)
    faults = [
        Fault(within("choices", label), quote(names), "a list of names")
        for label, names in choices.items()
        if not isinstance(names, list) or any(not isinstance(name, str) for name in names)
    ]
    if faults:
        raise GenotypeError(faults, source)
    return ChoicesGenotype(tuple((label, tuple(names)) for label, names in choices.items()))


def _nasbench201_svg(title: str, genotype: NASBench201Genotype) -> str:
    states = ["input", *map(str, range(1, NASBENCH201_STATES - 1)), "output"]
    kept = [(*edge, op) for op, edge in zip(genotype.ops, EDGES) if op != "none"]
    return dag_svg(title, states, kept)


def _recurrent_svg(title: str, genotype: RecurrentGenotype) -> str:
    edges = [(edge.source, node, edge.op) for node, edge in enumerate(genotype.nodes, 1)]
    return dag_svg(title, ["x, h", *map(str, range(1, len(genotype.nodes) + 1))], edges)


def _value(value: Any) -> str:
    """JSON with one entry a line at the first level, so that one changed entry is one changed line."""
    if isinstance(value, dict) and value:
        rows = [f"    {json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + "\n  }"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
    return json.dumps(value, ensure_ascii=False)


KINDS: dict[str, Kind] = {
    "nasbench201-genotype": Kind(
        NASBench201Genotype, lambda genotype: {"architecture": str(genotype)}, _read_nasbench201, _nasbench201_svg
    ),
    "recurrent-genotype": Kind(
        RecurrentGenotype,
        lambda genotype: {
            "nodes": [{"op": edge.op, "from": edge.source} for edge in genotype.nodes],
            "concat": list(genotype.concat),
        },
        _read_recurrent,
        _recurrent_svg,
    ),
    "choices-genotype": Kind(
        ChoicesGenotype,
        lambda genotype: {"choices": {label: list(names) for label, names in genotype.picks}},
        _read_choices,
        choices_svg,
    ),
}
"""Format -> kind."""
