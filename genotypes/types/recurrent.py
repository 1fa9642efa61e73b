"""Recurrent cells of the DARTS family: each node has one input and one activation (Liu et al. 2019, section 3.2).

State 0 combines the cell's input and its hidden state; state ``j`` is node ``j``. The output is the mean of the states
in ``concat``. The text form is that of DARTS's logs: ``Genotype(recurrent=[('tanh', 0), ...], concat=range(1, 9))``; it
is parsed, never evaluated.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genotypes.faults import MAX_FAULTS, Fault, GenotypeError, is_int, nearest, quote
from genotypes.formats.python_literal_reader import read_call, without_weight
from genotypes.formats.spans import Span, find_calls
from genotypes.types.cell import MAX_NODES, Edge
from genotypes.types.genotype import architecture_hash

RECURRENT_OPS = ("none", "tanh", "relu", "sigmoid", "identity")


@dataclass(frozen=True)
class RecurrentGenotype:
    """The edge into each node, and the states whose mean is the output.

    Raises:
        GenotypeError: with every fault at once, where the edges do not describe a cell.
    """

    nodes: tuple[Edge, ...]
    concat: tuple[int, ...]
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.nodes) > MAX_NODES or len(self.concat) > MAX_NODES:
            found = {"nodes": len(self.nodes), "concat": len(self.concat)}
            faults = [Fault(key, f"{n} entries", f"at most {MAX_NODES}") for key, n in found.items() if n > MAX_NODES]
            raise GenotypeError(faults)
        faults = [] if self.nodes else [Fault("nodes", "no node", "at least one")]
        for index, edge in enumerate(self.nodes):
            if edge.op not in RECURRENT_OPS[1:]:
                faults.append(Fault(f"nodes[{index}].op", quote(edge.op), nearest(str(edge.op), RECURRENT_OPS[1:])))
            if not 0 <= edge.source <= index:
                faults.append(Fault(f"nodes[{index}].from", quote(edge.source), f"an earlier state, 0 to {index}"))
        for position, state in enumerate(self.concat):
            if not 1 <= state <= len(self.nodes) or state in self.concat[:position]:
                allowed = f"each node at most once, 1 to {len(self.nodes)}"
                faults.append(Fault(f"concat[{position}]", quote(state), allowed))
        if not self.concat:
            faults.append(Fault("concat", "no state", "at least one node"))
        if faults:
            raise GenotypeError(faults, self.name or "genotype")

    def __str__(self) -> str:
        first, stop = self.concat[0], self.concat[-1] + 1
        ranged = self.concat == tuple(range(first, stop))
        pairs = [(edge.op, edge.source) for edge in self.nodes]
        return f"Genotype(recurrent={pairs}, concat={range(first, stop) if ranged else list(self.concat)})"

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on the architecture alone, not on its name."""
        content = [[(edge.op, edge.source) for edge in self.nodes], self.concat]
        return architecture_hash(json.dumps(content))

    def named(self, name: str | None) -> "RecurrentGenotype":
        """Return the same cell under another name."""
        return replace(self, name=name)

    def fields(self) -> dict[str, Any]:
        """Return the fields of its JSON file."""
        return {"nodes": [{"op": edge.op, "from": edge.source} for edge in self.nodes], "concat": list(self.concat)}

    def entries(self) -> dict[str, str]:
        """Return the edge into each node, then the output's states."""
        nodes = {f"nodes[{index}]": f"{edge.op} from {edge.source}" for index, edge in enumerate(self.nodes)}
        return {**nodes, "concat": ", ".join(map(str, self.concat))}

    def graph(self) -> tuple[list[str], list[tuple[int, int, str]]]:
        """Return the names of the states, and (source, node, activation) of each edge."""
        states = ["x, h", *map(str, range(1, len(self.nodes) + 1))]
        return states, [(edge.source, node, edge.op) for node, edge in enumerate(self.nodes, 1)]


def from_fields(document: Mapping[str, Any]) -> RecurrentGenotype:
    """Read the fields of a JSON file.

    Raises:
        GenotypeError: with every fault at once.
    """
    nodes, concat = document.get("nodes"), document.get("concat")
    edges, faults = [], []
    for index, edge in enumerate(nodes if isinstance(nodes, list) else [None]):
        complete = isinstance(edge, dict) and set(edge) == {"op", "from"}
        if complete and isinstance(edge["op"], str) and is_int(edge["from"]):
            edges.append(Edge(edge["op"], edge["from"]))
        else:
            faults.append(Fault(f"nodes[{index}]", quote(edge), 'an edge {"op": name, "from": state}'))
    if not isinstance(concat, list) or not all(map(is_int, concat)):
        faults.append(Fault("concat", quote(concat), "a list of states"))
    if faults:
        raise GenotypeError(faults)
    return RecurrentGenotype(tuple(edges), tuple(concat or ()))


def find_recurrent_texts(text: str) -> Iterator[Span]:
    """Yield the namedtuples of recurrent cells within a text."""
    return find_calls(text, ("recurrent",))


def is_recurrent_text(text: str) -> bool:
    """Return whether a text begins as the namedtuple notation of a recurrent cell."""
    return re.match(r"\s*(\w+\s*=\s*)?[\w.]+\(\s*recurrent\b", text[:200]) is not None


def from_recurrent_text(text: str, source: str = "genotype") -> RecurrentGenotype:
    """Read the namedtuple notation of a recurrent cell, with or without a ``NAME =`` before it.

    Raises:
        GenotypeError: naming line and column, or line and field, of all that is wrong.
    """
    name, fields, lines = read_call(text, "Genotype", ("recurrent", "concat"), MAX_NODES, source)
    lines = {f"nodes{field.removeprefix('recurrent')}" if field[:9] == "recurrent" else field: line
             for field, line in lines.items()}  # fmt: skip
    pairs = fields.get("recurrent")
    faults = []
    nodes: list[dict[str, Any]] = []
    for index, pair in enumerate(pairs if isinstance(pairs, list) else [None]):
        values = without_weight(pair)
        if values is None or len(values) != 2:
            faults.append(Fault(f"nodes[{index}]", quote(pair), "an edge (op, state)"))
        else:
            nodes.append({"op": values[0], "from": values[1]})
    try:
        if faults:
            raise GenotypeError(faults[:MAX_FAULTS])
        return from_fields({"nodes": nodes, "concat": fields.get("concat")}).named(name)
    except GenotypeError as error:
        raise error.within(source).at_lines(lines) from None
