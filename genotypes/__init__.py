"""Discrete architectures: types, formats and a library of published cells. Pure Python, no torch."""

from genotypes.diff import Difference, differences
from genotypes.formats.json_form import FORMS, from_json, read, schema_from, to_json, write
from genotypes.formats.namedtuple_text import from_text, to_text
from genotypes.formats.validation import Reading
from genotypes.load import library_entry, library_names, load, load_with_lines
from genotypes.neighbours import DERIVED_OPS, mutate, neighbours, sample
from genotypes.types.cell import (
    CELL_INPUTS,
    CELL_OPS,
    Cell,
    CellGenotype,
    Edge,
    Fault,
    GenotypeError,
    nearest,
    warnings,
)

__all__ = [
    "CELL_INPUTS",
    "CELL_OPS",
    "DERIVED_OPS",
    "FORMS",
    "Cell",
    "CellGenotype",
    "Difference",
    "Edge",
    "Fault",
    "GenotypeError",
    "Reading",
    "differences",
    "from_json",
    "from_text",
    "library_entry",
    "library_names",
    "load",
    "load_with_lines",
    "mutate",
    "nearest",
    "neighbours",
    "read",
    "sample",
    "schema_from",
    "to_json",
    "to_text",
    "warnings",
    "write",
]
