"""Architectures of NAS-Bench-201 and their strings (Dong and Yang 2020, section 2.1).

A cell has one input, state 0, and three further states; every state has an edge from each one before it, and every edge
one operation. The string lists the operations node by node, each with its input state::

    |nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from genotypes.faults import Fault, GenotypeError, nearest, quote
from genotypes.formats.spans import Span
from genotypes.types.genotype import architecture_hash

NASBENCH201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NASBENCH201_STATES = 4

EDGES = tuple((source, node) for node in range(1, NASBENCH201_STATES) for source in range(node))
"""The (source, node) of each edge, in the order of a genotype's operations."""


@dataclass(frozen=True)
class NASBench201Genotype:
    """The operation on each of the six edges: node by node, then by source.

    Raises:
        GenotypeError: with every fault at once, where the operations do not describe a network.
    """

    ops: tuple[str, ...]
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        faults = []
        if len(self.ops) != len(EDGES):
            faults.append(Fault("ops", f"{len(self.ops)} operations", f"one for each of {len(EDGES)} edges"))
        for index, op in enumerate(self.ops):
            if op not in NASBENCH201_OPS:
                faults.append(Fault(f"ops[{index}]", quote(op), nearest(str(op), NASBENCH201_OPS)))
        if faults:
            raise GenotypeError(faults, self.name or "genotype")

    def __str__(self) -> str:
        blocks = []
        for node in range(1, NASBENCH201_STATES):
            named = [f"{op}~{source}" for op, (source, target) in zip(self.ops, EDGES) if target == node]
            blocks.append(f"|{'|'.join(named)}|")
        return "+".join(blocks)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on the architecture alone, not on its name."""
        return architecture_hash(str(self))

    @property
    def connected(self) -> bool:
        """Whether the input reaches the output by edges that are not ``none``."""
        reached = {0}
        for op, (source, node) in zip(self.ops, EDGES):
            if op != "none" and source in reached:
                reached.add(node)
        return NASBENCH201_STATES - 1 in reached

    def named(self, name: str | None) -> "NASBench201Genotype":
        """Return the same architecture under another name."""
        return replace(self, name=name)

    def fields(self) -> dict[str, Any]:
        """Return the fields of its JSON file."""
        return {"architecture": str(self)}

    def entries(self) -> dict[str, str]:
        """Return edge -> operation, in order."""
        return {f"{source} to {node}": op for (source, node), op in zip(EDGES, self.ops)}

    def graph(self) -> tuple[list[str], list[tuple[int, int, str]]]:
        """Return the names of the states, and (source, node, operation) of each edge that is not ``none``."""
        states = ["input", *map(str, range(1, NASBENCH201_STATES - 1)), "output"]
        return states, [(*edge, op) for op, edge in zip(self.ops, EDGES) if op != "none"]

    def warnings(self) -> list[tuple[str, str]]:
        """Return that the output is constant, where no path leads to it."""
        return [] if self.connected else [("", "no path from the input to the output")]

    def neighbours(self, rng: Random, ops: Sequence[str] | None = None) -> Iterator["NASBench201Genotype"]:
        """Yield all architectures that differ in one operation, each once, in random order; 24 with all operations.

        Raises:
            GenotypeError: for an operation that does not exist.
        """
        ops = NASBENCH201_OPS if ops is None else ops
        faults = [Fault("ops", quote(op), nearest(op, NASBENCH201_OPS)) for op in ops if op not in NASBENCH201_OPS]
        if faults:
            raise GenotypeError(faults, "mutate")
        moves = [(edge, op) for edge, found in enumerate(self.ops) for op in dict.fromkeys(ops) if op != found]
        rng.shuffle(moves)
        for edge, op in moves:
            yield NASBench201Genotype((*self.ops[:edge], op, *self.ops[edge + 1 :]))


def from_fields(document: Mapping[str, Any]) -> NASBench201Genotype:
    """Read the fields of a JSON file.

    Raises:
        GenotypeError: naming each block or operation at fault.
    """
    text = document.get("architecture")
    if not isinstance(text, str):
        raise GenotypeError([Fault("architecture", quote(text), "a string |op~0|+...")])
    try:
        return from_string(text)
    except GenotypeError as error:
        faults = [replace(fault, field=f"architecture, {fault.field}") for fault in error.faults]
        raise GenotypeError(faults) from None


def find_strings(text: str) -> Iterator[Span]:
    """Yield the architecture strings within a text."""
    if "~0|" not in text:
        return
    entry = r"[^\s|~+]{1,60}~"
    for match in re.finditer(rf"\|{entry}0\|\+\|{entry}0\|{entry}1\|\+\|{entry}0\|{entry}1\|{entry}2\|", text):
        yield Span(match.start(), None, stop=match.end())


def is_string(text: str) -> bool:
    """Return whether a text is meant as an architecture string."""
    return text.lstrip().startswith("|")


def from_string(text: str, source: str = "architecture string") -> NASBench201Genotype:
    """Read an architecture string.

    Args:
        text: the string; surrounding white space is ignored.
        source: its name in an error.

    Raises:
        GenotypeError: naming each block or operation at fault.
    """
    blocks = text.strip().split("+")
    wanted = NASBENCH201_STATES - 1
    if len(text) > 1000 or len(blocks) != wanted:
        found = f"{len(blocks)} blocks" if len(text) <= 1000 else f"{len(text)} characters"
        raise GenotypeError([Fault("string", found, f"{wanted} blocks |op~0|...| joined by +")], source)
    ops: list[str] = []
    faults = []
    for node, block in enumerate(blocks, 1):
        match = re.fullmatch(r"\|(.+)\|", block)
        entries = match[1].split("|") if match else []
        sources = [entry.rpartition("~")[2] for entry in entries]
        if sources != [str(state) for state in range(node)]:
            form = "|".join(f"op~{state}" for state in range(node))
            faults.append(Fault(f"block {node}", quote(block), f"|{form}|"))
        for position, entry in enumerate(entries):
            op = entry.rpartition("~")[0]
            if op not in NASBENCH201_OPS:
                faults.append(Fault(f"block {node}, entry {position}", quote(op), nearest(op, NASBENCH201_OPS)))
            ops.append(op)
    if faults:
        raise GenotypeError(faults, source)
    return NASBench201Genotype(tuple(ops))
