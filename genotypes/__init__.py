"""Discrete architectures: types, formats and a library of published cells. Pure Python, no torch."""

from genotypes.diff import Difference, differences
from genotypes.faults import Fault, GenotypeError, nearest
from genotypes.formats.cell_json import from_json, to_json
from genotypes.formats.json_document import schema_from
from genotypes.formats.namedtuple_text import to_text
from genotypes.formats.reader import from_text, read, read_with_lines
from genotypes.formats.registry import FORMS, TYPES, describe, picture, write
from genotypes.formats.validation import LocatedGenotype
from genotypes.library import library_entry, library_names
from genotypes.load import folder_of, load, load_with_lines, parted
from genotypes.neighbours import mutate, neighbours, sample
from genotypes.types.cell import (
    CELL_INPUTS,
    CELL_OPS,
    DERIVED_OPS,
    Cell,
    CellGenotype,
    Edge,
    warnings,
)
from genotypes.types.choices import ChoicesGenotype
from genotypes.types.genotype import Genotype
from genotypes.types.nasbench201 import NASBench201Genotype
from genotypes.types.recurrent import RecurrentGenotype

__all__ = [
    "CELL_INPUTS",
    "CELL_OPS",
    "DERIVED_OPS",
    "FORMS",
    "TYPES",
    "Cell",
    "CellGenotype",
    "ChoicesGenotype",
    "Difference",
    "Edge",
    "Fault",
    "Genotype",
    "GenotypeError",
    "LocatedGenotype",
    "NASBench201Genotype",
    "RecurrentGenotype",
    "describe",
    "differences",
    "folder_of",
    "from_json",
    "from_text",
    "library_entry",
    "library_names",
    "load",
    "load_with_lines",
    "mutate",
    "nearest",
    "neighbours",
    "parted",
    "picture",
    "read",
    "read_with_lines",
    "sample",
    "schema_from",
    "to_json",
    "to_text",
    "warnings",
    "write",
]
