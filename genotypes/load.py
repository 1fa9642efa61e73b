"""Loading a genotype of any type: by its name in the library, from a file, a run's folder, or its own text."""

import os
import re
from pathlib import Path

from genotypes.faults import Fault, GenotypeError, nearest, quote
from genotypes.formats.json_document import is_printable
from genotypes.formats.reader import MAX_LOG_CHARACTERS, holds_genotype, read_with_lines
from genotypes.formats.validation import LocatedGenotype
from genotypes.library import LIBRARY, library_entry, library_names
from genotypes.types.genotype import Genotype

RESULT = "genotype.json"
EPOCHS = ("genotypes.json", "log.jsonl")
"""Files of a run that hold the genotype of every epoch; the log alone while the run is not finished."""


def load(name: str | Path) -> Genotype:
    """Load a genotype of any type.

    Args:
        name: a name or alias of the library; the path of a file in any format, or of a run's folder; or the genotype
            itself, as an architecture string of NAS-Bench-201 or in the namedtuple notation. ``RUN@EPOCH`` is the
            genotype of an epoch of a run, ``FILE@NAME`` one of several named genotypes of a file, and
            ``pareto.json@N`` a point of a Pareto set.

    Raises:
        GenotypeError: naming the file and every fault; or, for an unknown name, the nearest known one.
    """
    return load_with_lines(name).genotype


def load_with_lines(name: str | Path) -> LocatedGenotype:
    """Load as ``load`` does, with the line of every field, and a JSON file's further fields."""
    text = str(name)
    path = Path(name)
    if os.path.isdir(path):
        path = path / RESULT
    if os.path.isfile(path):
        return read_with_lines(_text_of(path), str(path))
    names = library_names()
    if text in names:
        return _library_genotype(text)
    if not isinstance(name, Path) and holds_genotype(text):
        return read_with_lines(text)
    for known in names:
        if text in library_entry(known).get("aliases", ()):
            return _library_genotype(known)
    before, choice = parted(text)
    if choice:
        return _choice(Path(before), choice)
    if os.path.isdir(text):
        allowed = "the folder of a finished search, or FOLDER@EPOCH for the genotype of an epoch"
        raise GenotypeError([Fault("file", f"no {RESULT}", allowed)], text)
    if path.suffix or len(path.parts) > 1:
        raise GenotypeError([Fault("file", "no such file", "a genotype file or a library name")], text[:300])
    allowed = nearest(text, names) if re.fullmatch(r"[\w.+-]{1,60}", text) else "a name of the library, a file, a run"
    raise GenotypeError([Fault("name", quote(text), allowed)])


def folder_of(name: str) -> Path:
    """Return the folder of the run, or of the file, that ``load`` would read."""
    path, _ = parted(name)
    return Path(path) if os.path.isdir(path) else Path(path).parent


def parted(name: str) -> tuple[str, str]:
    """Return the path and the choice of ``PATH@CHOICE``; the whole name and no choice where it is none."""
    path, _, choice = name.rpartition("@")
    known = path and not os.path.exists(name) and not {"/", os.sep} & set(choice) and os.path.exists(path)
    return (path, choice) if known else (name, "")


def _choice(path: Path, choice: str) -> LocatedGenotype:
    """Read the genotype of an epoch of a run, or one of several of a file."""
    label = f"{path.name}@{choice}"
    if os.path.isdir(path):
        path = next((path / file for file in EPOCHS if os.path.isfile(path / file)), path / EPOCHS[0])
    located = read_with_lines(_text_of(path), str(path), choice)
    genotype = located.genotype
    name = genotype.name or (label if is_printable(label) else None)
    return LocatedGenotype(genotype.named(name), located.lines, located.extra)


def _library_genotype(name: str) -> LocatedGenotype:
    path = LIBRARY / f"{name}.json"
    return read_with_lines(_text_of(path), str(path))


def _text_of(path: Path) -> str:
    """Return the text of a genotype's file, or more characters of it than are allowed.

    Raises:
        GenotypeError: where it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(MAX_LOG_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        raise GenotypeError([Fault("file", str(error)[:80], "readable text")], str(path)) from None
