"""A genotype by its name in the library, or from a file in any of the formats."""

from pathlib import Path
from typing import Any

from genotypes.formats import extra_fields, from_json, from_text
from genotypes.genotype import CellGenotype, Fault, GenotypeError, nearest

LIBRARY = Path(__file__).parent / "library"


def library_names() -> list[str]:
    """Names of the published genotypes that come with the project, sorted."""
    return sorted(path.stem for path in LIBRARY.glob("*.json"))


def library_entry(name: str) -> dict[str, Any]:
    """What the library records of a genotype: paper, source, reported figures, exact parameter counts.

    ``exact_parameters`` counts the weights of the derived network without its auxiliary head, at the width, depth and
    number of classes that its key names.
    """
    path = LIBRARY / f"{name}.json"
    return extra_fields(path.read_text(), path.name)


def load(name: str | Path) -> CellGenotype:
    """Load a genotype.

    Args:
        name: a name or alias of the library, or the path of a file: JSON, or the namedtuple text. A folder stands for
            the ``genotype.json`` in it.

    Raises:
        GenotypeError: naming the file and every fault; or, for an unknown name, the nearest known one.
    """
    path = Path(name)
    if path.is_dir():
        path = path / "genotype.json"
    if path.is_file():
        return _read(path)
    for known in library_names():
        if str(name) == known or str(name) in library_entry(known).get("aliases", ()):
            return _read(LIBRARY / f"{known}.json")
    if path.suffix or len(path.parts) > 1:
        raise GenotypeError([Fault("file", "no such file", "a genotype file or a library name")], str(path))
    raise GenotypeError([Fault("name", repr(str(name)), nearest(str(name), library_names()))], "--genotype")


def _read(path: Path) -> CellGenotype:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GenotypeError([Fault("file", str(error)[:80], "readable text")], str(path)) from None
    if text.lstrip().startswith("{"):
        return from_json(text, str(path))
    return from_text(text, str(path))
