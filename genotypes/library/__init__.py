"""Published cells, one JSON file each: their papers, sources and reported figures, and the library as a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genotypes.faults import Fault, GenotypeError, nearest
from genotypes.formats.cell_json import extra_fields

LIBRARY = Path(__file__).parent

FIGURES = {
    "error": ("cifar10_test_error_pct", "cifar10_test_error_pct_avg", "method_cifar10_test_error_pct_avg"),
    "std": ("std", "method_std"),
    "params": ("params_M", "method_params_M"),
    "gpu_days": ("search_gpu_days", "method_search_gpu_days"),
    "imagenet": ("imagenet_top1_err_pct",),
}
"""Column -> reported figures, of which the table has the first known one. All but the first are means of a method."""

SORT_FIELDS = ("name", *FIGURES, "exact")


def library_names() -> list[str]:
    """Return the names of the library's genotypes, sorted."""
    return sorted(path.stem for path in LIBRARY.glob("*.json"))


def library_entry(name: str) -> dict[str, Any]:
    """Return the library's record of a genotype: paper, source, reported figures, exact parameter counts.

    ``exact_parameters`` counts the weights of the derived network without its auxiliary head, at the width, depth and
    number of classes that its key names.
    """
    path = LIBRARY / f"{name}.json"
    return extra_fields(path.read_text(encoding="utf-8"), path.name)


@dataclass(frozen=True)
class LibraryRow:
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


def rows(sort: str = "name") -> list[LibraryRow]:
    """Return the library, sorted by one of ``SORT_FIELDS``, lowest first; rows without that figure last.

    Raises:
        GenotypeError: for another field.
    """
    if sort not in SORT_FIELDS:
        raise GenotypeError([Fault("sort", repr(sort), nearest(sort, SORT_FIELDS))], "list")

    def key(row: LibraryRow) -> tuple[bool, Any, str]:
        value = row.figures.get(sort) if sort in FIGURES else getattr(row, sort)
        return value is None, value, row.name

    return sorted(map(_row, library_names()), key=key)


def _row(name: str) -> LibraryRow:
    entry = library_entry(name)
    figures, means = {}, set()
    for column, keys in FIGURES.items():
        given = [key for key in keys if key in entry["reported"]]
        if given:
            figures[column] = entry["reported"][given[0]]
            if given[0] != keys[0]:
                means.add(column)
    return LibraryRow(name, figures, frozenset(means), entry["exact_parameters"]["cifar_c36_l20_10classes"])
