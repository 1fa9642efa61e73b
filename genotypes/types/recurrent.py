"""Recurrent cells of the DARTS family: each node has one input and one activation (Liu et al. 2019, section 3.2).

State 0 is what the cell makes of its input and its hidden state; state ``j`` is node ``j``. The output is the mean of
the states in ``concat``. The text form is what DARTS logs: ``Genotype(recurrent=[('tanh', 0), ...],
concat=range(1, 9))``; it is parsed, never evaluated.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field, replace

from genotypes.formats.validation import MAX_NODES
from genotypes.types.cell import Edge, Fault, GenotypeError, nearest, quote

RECURRENT_OPS = ("none", "tanh", "relu", "sigmoid", "identity")


@dataclass(frozen=True)
class RecurrentGenotype:
    """The edge into each node, and the states that are averaged.

    Raises:
        GenotypeError: with every fault at once, where the edges do not describe a cell.
    """

    nodes: tuple[Edge, ...]
    concat: tuple[int, ...]
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.nodes) > MAX_NODES or len(self.concat) > MAX_NODES:
            field, listed = ("nodes", self.nodes) if len(self.nodes) > MAX_NODES else ("concat", self.concat)
            raise GenotypeError([Fault(field, f"{len(listed)} entries", f"at most {MAX_NODES}")], "genotype")
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
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    def named(self, name: str | None) -> "RecurrentGenotype":
        return replace(self, name=name)


def from_recurrent_text(text: str, source: str = "genotype") -> RecurrentGenotype:
    """Read the namedtuple notation of a recurrent cell, with or without a ``NAME =`` before it.

    Raises:
        GenotypeError: naming what is at fault.
    """
    pair = r"\(['\"](\w+)['\"],(\d{1,4})\)"
    whole = re.fullmatch(
        rf"(?:(\w+)=)?Genotype\(recurrent=\[((?:{pair},?)*)\],concat=(?:range\((\d{{1,4}}),(\d{{1,4}})\)|\[([\d,]*)\])\)",
        "".join(text[:20_000].split()),
    )
    if whole is None:
        form = "Genotype(recurrent=[(op, state), ...], concat=range(1, n))"
        raise GenotypeError([Fault("text", quote(text.strip()[:40]), form)], source)
    name, edges, *_, first, stop, listed = whole.groups()
    nodes = tuple(Edge(op, int(state)) for op, state in re.findall(pair, edges))
    concat = range(int(first), int(stop)) if first else map(int, re.findall(r"\d+", listed))
    try:
        return RecurrentGenotype(nodes, tuple(concat), name)
    except GenotypeError as error:
        raise error.within(source) from None
