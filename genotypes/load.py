"""Loading a genotype of any type by its name in the library, from a file, a run's folder or an architecture string."""

import os
from pathlib import Path

from genotypes.faults import Fault, GenotypeError, nearest, quote
from genotypes.formats.json_reader import MAX_CHARACTERS
from genotypes.formats.registry import TYPES, read_with_lines
from genotypes.formats.validation import LocatedGenotype
from genotypes.library import LIBRARY, library_entry, library_names
from genotypes.types.genotype import Genotype


def load(name: str | Path) -> Genotype:
    """Load a genotype of any type.

    Args:
        name: a name or alias of the library; the path of a file in any format, or of a folder with a
            ``genotype.json``; or an architecture string of NAS-Bench-201.

    Raises:
        GenotypeError: naming the file and every fault; or, for an unknown name, the nearest known one.
    """
    return load_with_lines(name).genotype


def load_with_lines(name: str | Path) -> LocatedGenotype:
    """Load as ``load`` does, with the line of every field, and a JSON file's further fields."""
    text = str(name)
    if any(row.matches(text) for row in TYPES.values()):
        return read_with_lines(text)
    path = Path(name)
    if os.path.isdir(path):
        path = path / "genotype.json"
    if os.path.isfile(path):
        return _read(path)
    names = library_names()
    if text in names:
        return _read(LIBRARY / f"{text}.json")
    for known in names:
        if text in library_entry(known).get("aliases", ()):
            return _read(LIBRARY / f"{known}.json")
    if path.suffix or len(path.parts) > 1:
        raise GenotypeError([Fault("file", "no such file", "a genotype file or a library name")], text)
    raise GenotypeError([Fault("name", quote(text), nearest(text, names))])


def _read(path: Path) -> LocatedGenotype:
    return read_with_lines(_text_of(path), str(path))


def _text_of(path: Path) -> str:
    """Return the text of a genotype's file, or more characters of it than are allowed.

    Raises:
        GenotypeError: where it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise GenotypeError([Fault("file", str(error)[:80], "readable text")], str(path)) from None
