"""Cells of NAS-Bench-101: a directed acyclic graph of at most 7 vertices and 9 edges (Ying et al. 2019, section 2.1).

Vertex 0 is the input, the last vertex the output, and each vertex between them has one operation. Vertices that are not
on a path from the input to the output are extraneous: they are in the matrix, but not in the network, and the limit of
edges does not count theirs. The text form lists the vertices after the input, each with the vertices that it reads::

    conv3x3-bn-relu~0|maxpool3x3~0,1|output~0,2
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from genotypes.faults import Fault, GenotypeError, nearest, quote
from genotypes.types.genotype import architecture_hash

NASBENCH101_OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The operations in the order of the benchmark, on which its hashes depend."""

MAX_VERTICES, MAX_EDGES = 7, 9

Matrix = tuple[tuple[int, ...], ...]
"""Adjacency: row ``i``, column ``j`` is 1 where vertex ``j`` reads vertex ``i``; upper triangular."""


@dataclass(frozen=True)
class NASBench101Genotype:
    """The edges of a cell, and the operations of the vertices between input and output.

    Attributes:
        matrix: of 0 and 1, upper triangular; nested lists are taken as well.
        ops: one for each vertex but the first and the last.
        name: no part of the architecture.

    Raises:
        GenotypeError: with every fault at once, where they do not describe a network of the benchmark.
    """

    matrix: Matrix
    ops: tuple[str, ...]
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        faults = list(_faults(self.matrix, self.ops))
        if not faults:
            object.__setattr__(self, "matrix", tuple(tuple(map(int, row)) for row in self.matrix))
            object.__setattr__(self, "ops", tuple(self.ops))
            problem = problem_of(self.matrix)
            faults = [Fault("matrix", *problem)] if problem else []
        if faults:
            raise GenotypeError(faults, self.name or "genotype")

    def __str__(self) -> str:
        names = (*self.ops, "output")
        return "|".join(f"{name}~{','.join(map(str, self.sources(v)))}" for v, name in enumerate(names, 1))

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on the matrix and the operations alone, not on the name."""
        return architecture_hash(str(self))

    @property
    def module_hash(self) -> str:
        """The benchmark's hash of the cell without extraneous vertices: equal for isomorphic cells.

        An iterated hash of each vertex's operation and neighbours (Ying 2019, arXiv:1902.06192), in MD5.
        """
        cell = self.pruned()
        matrix, vertices = cell.matrix, range(len(cell.matrix))
        labels = [-1, *(NASBENCH101_OPS.index(op) for op in cell.ops), -2]
        degrees = [(sum(matrix[v]), sum(row[v] for row in matrix), labels[v]) for v in vertices]
        hashes = [_md5(str(degree)) for degree in degrees]
        for _ in vertices:
            entering = ["".join(sorted(hashes[w] for w in vertices if matrix[w][v])) for v in vertices]
            leaving = ["".join(sorted(hashes[w] for w in vertices if matrix[v][w])) for v in vertices]
            hashes = [_md5(f"{entering[v]}|{leaving[v]}|{hashes[v]}") for v in vertices]
        return _md5(str(sorted(hashes)))

    def named(self, name: str | None) -> "NASBench101Genotype":
        """Return the same architecture under another name."""
        return replace(self, name=name)

    def sources(self, vertex: int) -> list[int]:
        """Return the vertices that a vertex reads, in order."""
        return [source for source in range(vertex) if self.matrix[source][vertex]]

    def pruned(self) -> "NASBench101Genotype":
        """Return the cell without extraneous vertices."""
        used = used_vertices(self.matrix)
        matrix = tuple(tuple(self.matrix[i][j] for j in used) for i in used)
        return NASBench101Genotype(matrix, tuple(self.ops[v - 1] for v in used[1:-1]), self.name)

    def fields(self) -> dict[str, Any]:
        """Return the fields of its JSON file."""
        return {"architecture": str(self)}

    def entries(self) -> dict[str, str]:
        """Return vertex -> operation and the vertices that it reads."""
        names = (*self.ops, "output")
        return {f"{v}": f"{name} of {', '.join(map(str, self.sources(v)))}" for v, name in enumerate(names, 1)}

    def graph(self) -> tuple[list[str], list[tuple[int, int, str]]]:
        """Return the names of the vertices, and (source, target, label) of each edge; operations label vertices."""
        short = {"conv3x3-bn-relu": "3x3", "conv1x1-bn-relu": "1x1", "maxpool3x3": "pool"}
        names = ["input", *(f"{v} {short[op]}" for v, op in enumerate(self.ops, 1)), "output"]
        return names, [(s, v, "") for v in range(len(self.matrix)) for s in self.sources(v)]

    def warnings(self) -> list[tuple[str, str]]:
        """Return the vertices that are extraneous."""
        used = used_vertices(self.matrix)
        spare = [v for v in range(len(self.matrix)) if v not in used]
        return [("", f"vertex {v} is on no path from the input to the output") for v in spare]


def used_vertices(matrix: Sequence[Sequence[int]]) -> list[int]:
    """Return the vertices on paths from the input to the output; none where there is no path."""
    last = len(matrix) - 1
    forward, backward = {0}, {last}
    for v in range(1, last + 1):
        if any(matrix[w][v] for w in forward if w < v):
            forward.add(v)
    for v in reversed(range(last)):
        if any(matrix[v][w] for w in backward if w > v):
            backward.add(v)
    used = sorted(forward & backward)
    return used if {0, last} <= set(used) else []


def problem_of(matrix: Sequence[Sequence[int]]) -> tuple[str, str] | None:
    """Return why an upper-triangular matrix is no cell of the benchmark: what was found, and what is allowed."""
    used = used_vertices(matrix)
    if not used:
        return "no path from the input to the output", "at least one"
    edges = sum(matrix[i][j] for i in used for j in used)
    return (
        (f"{edges} edges on paths from the input to the output", f"at most {MAX_EDGES}") if edges > MAX_EDGES else None
    )


def from_text(text: str, source: str = "genotype") -> NASBench101Genotype:
    """Read the text form.

    Args:
        text: as ``str`` of a genotype; surrounding white space is ignored.
        source: its name in an error.

    Raises:
        GenotypeError: naming what is at fault.
    """
    entries = text.strip().split("|") if len(text) <= 1000 else []
    parsed = [re.fullmatch(r"([\w-]{1,60})~((?:\d(?:,\d)*)?)", entry) for entry in entries]
    if not 1 <= len(parsed) < MAX_VERTICES or None in parsed or not is_text(text):
        raise GenotypeError([Fault("text", quote(text.strip()[:40]), "op~0|op~0,1|...|output~0,2")], source)
    size = len(parsed) + 1
    matrix = [[0] * size for _ in range(size)]
    ops = [match[1] for match in parsed if match]
    for v, match in enumerate(parsed, 1):
        for s in map(int, re.findall(r"\d", match[2] if match else "")):
            if s >= v:
                raise GenotypeError([Fault(f"vertex {v}", f"input {s}", f"an earlier vertex, 0 to {v - 1}")], source)
            matrix[s][v] = 1
    try:
        return NASBench101Genotype(tuple(map(tuple, matrix)), tuple(ops[:-1]))
    except GenotypeError as error:
        raise error.within(source) from None


def is_text(text: str) -> bool:
    """Return whether a text is meant as the text form."""
    return re.fullmatch(r"(?:[\w-]+~[\d,]*\|)*output~[\d,]*", text.strip()) is not None


def from_fields(document: Mapping[str, Any]) -> NASBench101Genotype:
    """Read the fields of a JSON file.

    Raises:
        GenotypeError: naming what is at fault.
    """
    text = document.get("architecture")
    if not isinstance(text, str):
        raise GenotypeError([Fault("architecture", quote(text), "a string op~0|op~0,1|...|output~0,2")])
    try:
        return from_text(text)
    except GenotypeError as error:
        faults = [replace(fault, field=f"architecture, {fault.field}") for fault in error.faults]
        raise GenotypeError(faults) from None


def _faults(matrix: Any, ops: Any) -> Iterator[Fault]:
    """Yield what is wrong with the form of a matrix and operations."""
    size = len(matrix)
    if not 2 <= size <= MAX_VERTICES:
        yield Fault("matrix", f"{size} vertices", f"2 to {MAX_VERTICES}")
        return
    for i, row in enumerate(matrix):
        if len(row) != size:
            yield Fault(f"matrix[{i}]", f"{len(row)} entries", f"{size}, as there are rows")
            continue
        for j, entry in enumerate(row):
            if isinstance(entry, bool | float | str) or entry not in (0, 1):
                yield Fault(f"matrix[{i}][{j}]", quote(entry), "0 or 1")
            elif entry and j <= i:
                yield Fault(f"matrix[{i}][{j}]", "1", "0: an edge leads to a later vertex")
    if len(ops) != size - 2:
        yield Fault("ops", f"{len(ops)} operations", f"{size - 2}, one for each vertex between input and output")
    for index, op in enumerate(ops):
        if op not in NASBENCH101_OPS:
            yield Fault(f"ops[{index}]", quote(op), nearest(str(op), NASBENCH101_OPS))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
