"""Discrete architectures: types, formats and a library of published cells. Pure Python, no torch."""

from genotypes.formats import from_json, from_text, to_json, to_text
from genotypes.genotype import CELL_INPUTS, CELL_OPS, Cell, CellGenotype, Edge, Fault, GenotypeError, nearest
from genotypes.load import library_entry, library_names, load

__all__ = [
    "CELL_INPUTS",
    "CELL_OPS",
    "Cell",
    "CellGenotype",
    "Edge",
    "Fault",
    "GenotypeError",
    "from_json",
    "from_text",
    "library_entry",
    "library_names",
    "load",
    "nearest",
    "to_json",
    "to_text",
]
