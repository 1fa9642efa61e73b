"""Reading a genotype of any type from any text: a file, a log, a notation on the command line."""

import re
from dataclasses import replace

from genotypes.faults import Fault, GenotypeError, quote
from genotypes.formats import cell_json
from genotypes.formats.json_document import read_document
from genotypes.formats.json_reader import MAX_CHARACTERS, Lines, LocatedJson, read_json
from genotypes.formats.registry import TYPES, GenotypeType
from genotypes.formats.spans import Span, find_documents, is_pareto_set, records
from genotypes.formats.validation import LocatedGenotype
from genotypes.types.cell import CellGenotype
from genotypes.types.genotype import Genotype

MAX_LOG_CHARACTERS = 20_000_000
"""Longest text in which genotypes are searched; one genotype has at most ``MAX_CHARACTERS``."""

LOG_NAMES = ("genotype", "Genotype")
"""Variables whose names logs write before a genotype; they are no names of it."""

Found = tuple[Span, GenotypeType | None]
"""A part of a text, and the type that reads it; None for a JSON document."""


def read(text: str, source: str = "genotype") -> Genotype:
    """Read a genotype of any type from the text of a file, or from what ``write`` or ``describe`` returns.

    Args:
        text: a genotype in any format, or other text with genotypes in it, such as a log: then the last one.
        source: its name in an error, such as the file's path.

    Raises:
        GenotypeError: with all faults, by line.
    """
    return read_with_lines(text, source).genotype


def from_text(text: str, source: str = "genotype") -> CellGenotype:
    """Read cells from the namedtuple notation in any dialect, with or without a ``NAME =`` or log lines around it.

    Raises:
        GenotypeError: naming line and column, or line and field, of all that is wrong.
    """
    genotype = read(text, source)
    if not isinstance(genotype, CellGenotype):
        raise GenotypeError([Fault("text", type(genotype).__name__, CellGenotype.__name__)], source)
    return genotype


def read_with_lines(text: str, source: str = "genotype", name: str | None = None) -> LocatedGenotype:
    """Read as ``read`` does, with the line of every field.

    ``name`` picks one of several genotypes: the number of an epoch or of a Pareto set's point, or the name before
    ``= Genotype(...)``.

    Raises:
        GenotypeError: with all faults, by line.
    """
    if len(text) > MAX_LOG_CHARACTERS:
        raise GenotypeError([Fault("file", f"{len(text)} characters", f"at most {MAX_LOG_CHARACTERS}")], source)
    if name is not None:
        return _named(text, name, source)
    short = len(text) <= MAX_CHARACTERS
    matching = next((row for row in TYPES.values() if short and row.matches(text)), None)
    if matching is not None and len(_find(text)) < 2:
        return matching.read(text, source)
    located = read_json(text) if short and text.lstrip()[:1] in ("{", "") else None
    if located is not None and _format_of(located) in TYPES:
        return _document(located, source)
    found = _find(text)
    if found and text.lstrip()[:1] not in ("[", "{"):
        return _last(text, found, source)
    epochs = records(text)
    if len(epochs) > 1 and is_pareto_set(text):
        allowed = f"FILE@1 to FILE@{max(epochs)} for one of them"
        raise GenotypeError([Fault("file", f"{len(epochs)} genotypes of a Pareto set", allowed)], source)
    if epochs:
        return _record(epochs, max(epochs), source)
    if found:
        return _last(text, found, source)
    if not short:
        raise GenotypeError([Fault("file", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")], source)
    return TYPES[cell_json.FORMAT].read(text, source) if located is None else _document(located, source)


def _format_of(located: LocatedJson) -> str | None:
    given = located.value.get("format") if isinstance(located.value, dict) else None
    return given if isinstance(given, str) else None


def _document(located: LocatedJson, source: str) -> LocatedGenotype:
    """Read a JSON document; one of an unknown format as cells, so that all its faults are named."""
    row = TYPES.get(_format_of(located) or "", TYPES[cell_json.FORMAT])
    return read_document(located, row.read_fields, row.names, tuple(TYPES), source)


def holds_genotype(text: str) -> bool:
    """Return whether a text, such as a command-line argument, is a genotype itself and no file's name."""
    begins = re.match(r"\s*(?:\{|(?:\w+\s*=\s*)?[\w.]*Genotype\s*\()", text[:1000]) is not None
    return begins or any(row.matches(text) for row in TYPES.values()) or bool(_find(text))


def _find(text: str) -> list[Found]:
    """Return the parts of a text that hold genotypes, in their order."""
    found: list[Found] = [(span, row) for row in TYPES.values() for span in row.find(text)]
    found += [(span, None) for span in find_documents(text, tuple(TYPES))]
    return sorted(found, key=lambda pair: pair[0].start)


def _last(text: str, found: list[Found], source: str) -> LocatedGenotype:
    """Read the last genotype of a text.

    Raises:
        GenotypeError: where several have names of their own, or the only one is followed by something on its line.
    """
    span, row = found[-1]
    names = [
        other.name
        for other, _ in found
        if other.name
        and other.name not in LOG_NAMES
        and not text[text.rfind("\n", 0, other.start) + 1 : other.start].strip()
    ]
    if len(set(names)) > 1:
        listed = ", ".join(dict.fromkeys(names[:10])) + (", ..." if len(names) > 10 else "")
        raise GenotypeError([Fault("file", f"{len(found)} genotypes: {listed}", "FILE@NAME for one of them")], source)
    if row is not None and len(found) == 1 and len(text) <= MAX_CHARACTERS:
        before = "\n".join(line.split("#")[0] for line in text[: span.start].splitlines())
        after = text[span.end(text) :].partition("\n")[0].split("#")[0]
        if not before.strip() and after.strip():
            return row.read(text, source)
    return _read_span(text, span, row, source)


def _read_span(text: str, span: Span, row: GenotypeType | None, source: str) -> LocatedGenotype:
    """Read a part of a text; lines are those of the whole."""
    part = text[span.start : span.end(text)]
    offset = Lines(text[: span.start]).position(span.start)[0] - 1
    try:
        located = row.read(part, source) if row is not None else _document(read_json(part), source)
    except GenotypeError as error:
        faults = [replace(fault, line=fault.line + offset if fault.line else None) for fault in error.faults]
        raise GenotypeError(faults, source) from None
    lines = {field: line + offset for field, line in located.lines.items()}
    genotype = located.genotype
    return replace(located, lines=lines, genotype=genotype.named(None) if genotype.name in LOG_NAMES else genotype)


def _record(epochs: dict[int, str], epoch: int, source: str) -> LocatedGenotype:
    """Read the genotype of an epoch."""
    located = read_with_lines(epochs[epoch][:MAX_CHARACTERS], f"{source}: epoch {epoch}")
    return LocatedGenotype(located.genotype, {})


def _named(text: str, name: str, source: str) -> LocatedGenotype:
    """Read one of several genotypes of a text, by an epoch's number or by its own name."""
    if name.isascii() and name.isdigit():
        epochs = records(text)
        if int(name[:10]) in epochs:
            return _record(epochs, int(name[:10]), source)
        allowed = f"{min(epochs)} to {max(epochs)}" if epochs else "a file with a genotype for every epoch"
        raise GenotypeError([Fault("point" if is_pareto_set(text) else "epoch", name[:40], allowed)], source)
    found = _find(text)
    for span, row in reversed(found):
        if span.name == name:
            return _read_span(text, span, row, source)
    names = ", ".join(dict.fromkeys(span.name for span, _ in found if span.name))
    raise GenotypeError([Fault("name", quote(name), f"one of {names[:300]}" if names else "a named genotype")], source)
