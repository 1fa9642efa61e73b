"""A genotype by its name in the library or from a file in any of the formats; the library as a table."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genotypes.formats.json_form import extra_fields, read
from genotypes.formats.json_reader import MAX_CHARACTERS
from genotypes.formats.validation import Reading
from genotypes.types.cell import CellGenotype, Fault, GenotypeError, nearest, quote

LIBRARY = Path(__file__).parent / "library"

FIGURES = {
    "error": ("cifar10_test_error_pct", "cifar10_test_error_pct_avg", "method_cifar10_test_error_pct_avg"),
    "std": ("std", "method_std"),
    "params": ("params_M", "method_params_M"),
    "gpu_days": ("search_gpu_days", "method_search_gpu_days"),
    "imagenet": ("imagenet_top1_err_pct",),
}
"""A column and the reported figures it shows: the first that is there. All but the first are means of a method."""

SORT_FIELDS = ("name", *FIGURES, "exact")


def library_names() -> list[str]:
    """Names of the published genotypes that come with the project, sorted."""
    return sorted(path.stem for path in LIBRARY.glob("*.json"))


def library_entry(name: str) -> dict[str, Any]:
    """What the library records of a genotype: paper, source, reported figures, exact parameter counts.

    ``exact_parameters`` counts the weights of the derived network without its auxiliary head, at the width, depth and
    number of classes that its key names.
    """
    path = LIBRARY / f"{name}.json"
    return extra_fields(path.read_text(encoding="utf-8"), path.name)


def load(name: str | Path) -> CellGenotype:
    """Load a genotype.

    Args:
        name: a name or alias of the library, or the path of a file: JSON, or the namedtuple text in any dialect. A
            folder stands for the ``genotype.json`` in it.

    Raises:
        GenotypeError: naming the file and every fault; or, for an unknown name, the nearest known one.
    """
    return load_with_lines(name, "--genotype").genotype


def load_with_lines(name: str | Path, asked: str = "genotype") -> Reading:
    """``load`` with the line of every field, and a JSON file's further fields.

    ``asked`` says in an error where the name was given.
    """
    path = Path(name)
    if os.path.isdir(path):
        path = path / "genotype.json"
    if os.path.isfile(path):
        return _read(path)
    names = library_names()
    if str(name) in names:
        return _read(LIBRARY / f"{name}.json")
    for known in names:
        if str(name) in library_entry(known).get("aliases", ()):
            return _read(LIBRARY / f"{known}.json")
    if path.suffix or len(path.parts) > 1:
        raise GenotypeError([Fault("file", "no such file", "a genotype file or a library name")], str(path))
    raise GenotypeError([Fault("name", quote(str(name)), nearest(str(name), names))], asked)


def _read(path: Path) -> Reading:
    return read(read_file(path), str(path))


def read_file(path: Path) -> str:
    """The text of a genotype's file, one character more than may be at most.

    Raises:
        GenotypeError: where it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise GenotypeError([Fault("file", str(error)[:80], "readable text")], str(path)) from None


@dataclass(frozen=True)
class Row:
    """One genotype of the library.

    Attributes:
        name: in the library.
        figures: column -> reported figure, where there is one: test errors in percent, parameters in millions.
        means: the columns whose figure is a mean over searches of the method, not this cell's own.
        exact: parameters of the CIFAR-10 network of 20 cells and 36 channels, without auxiliary head.
    """

    name: str
    figures: dict[str, float]
    means: frozenset[str]
    exact: int


def rows(sort: str = "name") -> list[Row]:
    """The whole library, sorted by one of ``SORT_FIELDS``, lowest first; where a figure is missing, last.

    Raises:
        GenotypeError: for another field.
    """
    if sort not in SORT_FIELDS:
        raise GenotypeError([Fault("--sort", repr(sort), nearest(sort, SORT_FIELDS))], "list")

    def key(row: Row) -> tuple[bool, Any, str]:
        value = row.figures.get(sort) if sort in FIGURES else getattr(row, sort)
        return value is None, value, row.name

    return sorted(map(_row, library_names()), key=key)


def _row(name: str) -> Row:
    entry = library_entry(name)
    figures, means = {}, set()
    for column, keys in FIGURES.items():
        given = [key for key in keys if key in entry["reported"]]
        if given:
            figures[column] = entry["reported"][given[0]]
            if given[0] != keys[0]:
                means.add(column)
    return Row(name, figures, frozenset(means), entry["exact_parameters"]["cifar_c36_l20_10classes"])
