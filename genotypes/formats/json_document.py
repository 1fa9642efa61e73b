"""Versioned JSON files of genotypes: what the files of all types have in common.

A file holds ``format``, which names the genotype's type, ``version``, perhaps ``$schema`` and ``name``, further fields
that do not describe the architecture, and the fields of the type. ``genotype.schema.json`` describes all of them for
editors.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from genotypes.faults import Fault, GenotypeError, nearest, quote, within
from genotypes.formats.json_reader import LocatedJson
from genotypes.formats.validation import LocatedGenotype
from genotypes.types.genotype import Genotype

VERSION = 1
HEAD = ("$schema", "format", "version", "name")
SCHEMA = Path(__file__).parent.parent / "genotype.schema.json"


def write_document(
    format_name: str, genotype: Genotype, fields: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> str:
    """Return the content of a genotype's file, in a stable field order.

    Args:
        format_name: names the genotype's type.
        genotype: whose name is written.
        fields: of the type. One line holds one edge or one entry, so that an edited edge is one changed line.
        extra: further JSON fields; they may replace ``$schema`` and ``name``.
    """
    head = {"$schema": SCHEMA.name, "format": format_name, "version": VERSION, "name": genotype.name, **(extra or {})}
    texts = {
        key: json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        for key, value in head.items()
        if value is not None
    }
    texts |= {key: _compact(value, 2) for key, value in fields.items()}
    return "{\n" + ",\n".join(f"  {_text(key)}: {text}" for key, text in texts.items()) + "\n}\n"


def _compact(value: Any, indent: int) -> str:
    """Return JSON with each innermost list or object on one line."""
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if not any(isinstance(item, dict | list) for item in items):
        return _text(value)
    texts = [_compact(item, indent + 2) for item in items]
    if isinstance(value, dict):
        texts = [f"{_text(key)}: {text}" for key, text in zip(value, texts)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    space = " " * indent
    return f"{opening}\n" + ",\n".join(f"{space}  {text}" for text in texts) + f"\n{space}{closing}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def read_document(
    located: LocatedJson,
    read: Callable[[Mapping[str, Any]], Genotype],
    fields: Sequence[str],
    formats: Sequence[str],
    source: str,
) -> LocatedGenotype:
    """Read a genotype's document, with the line of every field.

    Args:
        located: the document.
        read: document -> genotype, from the fields of the type; raises ``GenotypeError`` with all faults.
        fields: names of these.
        formats: which are accepted.
        source: the text's name in an error, such as the file's path.

    Raises:
        GenotypeError: with all faults, by line.
    """
    document = located.value
    if not isinstance(document, dict):
        fault = Fault("file", quote(document), "a JSON object that describes a genotype")
        raise GenotypeError(located.faults or [fault], source)
    faults = [*located.faults, *_head_faults(document, fields, formats)]
    genotype = None
    try:
        genotype = read(document)
    except GenotypeError as error:
        unread = {fault.field for fault in located.faults}
        faults = [*faults, *(fault for fault in error.faults if fault.field not in unread)]
    if faults or genotype is None:
        raise GenotypeError(faults, source).at_lines(located.lines)
    extra = {key: value for key, value in document.items() if key not in ("format", "version", *fields)}
    return LocatedGenotype(genotype.named(document.get("name")), located.lines, extra)


def _head_faults(document: Mapping[str, Any], fields: Sequence[str], formats: Sequence[str]) -> list[Fault]:
    faults = []
    given, version = document.get("format"), document.get("version")
    if not isinstance(given, str) or given not in formats:
        allowed = nearest(given, formats) if isinstance(given, str) else "one of " + ", ".join(map(repr, formats))
        faults.append(field_fault(document, "format", allowed, fields))
    if version != VERSION or isinstance(version, bool):
        faults.append(field_fault(document, "version", str(VERSION), fields))
    for key in ("name", "$schema"):
        value = document.get(key)
        if value is not None and not is_printable(value):
            faults.append(Fault(key, quote(value), "a printable string of at most 200 characters"))
    return faults


def field_fault(document: Mapping[str, Any], key: str, allowed: str, fields: Sequence[str]) -> Fault:
    """Return the fault of a field that is missing or wrong; where it is missing, of one with a similar name."""
    if key in document:
        return Fault(key, quote(document[key]), allowed)
    known = {*HEAD, *fields}
    others = islice((other for other in document if other not in known and len(other) < 20), 50)
    close = get_close_matches(key, list(others), n=1)
    if close:
        return Fault(within("", close[0]), f"a field {quote(close[0])}", nearest(close[0], (key,)))
    return Fault(key, quote(None), allowed)


def is_printable(value: Any) -> bool:
    """Return whether a value can be a name: text that fits on a line."""
    return isinstance(value, str) and value.isprintable() and len(value) <= 200


def schema_from(folder: str | Path) -> dict[str, str]:
    """Return the JSON field by which an editor finds the schema from a file in this folder."""
    try:
        return {"$schema": Path(os.path.relpath(SCHEMA, folder)).as_posix()}
    except ValueError:  # on Windows, no path leads from one drive to another
        return {"$schema": SCHEMA.as_uri()}
