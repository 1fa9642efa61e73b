"""The DARTS family's namedtuple notation, in all its dialects. Parsed, never evaluated.

``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))`` is
what DARTS and its descendants log. The dialects list a cell's edges differently:

* ``text``: ``(op, input)`` pairs in one flat list, two for each node (DARTS, Liu et al. 2019);
* ``nested``: one list or tuple of such pairs for each node (GDAS, Dong and Yang 2019);
* ``triples``: ``(op, to, from)`` (Fair DARTS, Chu et al. 2020), so that nodes may have any number of inputs;
* ``edges``: one operation or ``None`` for every edge of the complete graph, node by node, then by source: 14 for four
  nodes. A cell that lists a node's inputs in another order has a further field, ``normal_order=[[1, 0], ...]``: the
  sum is the same, but the weights of a network are stored in that order.

In pairs and triples a float may follow, the weight of the edge in the search: ``(op, input, 0.131)``, as GDAS publishes
them. It is no part of the architecture and is left out. A dict of the same fields is read as well.
"""

import re
from collections.abc import Iterator
from typing import Any

from genotypes.faults import Fault, GenotypeError, is_int, quote
from genotypes.formats.python_literal_reader import read_call, without_weight
from genotypes.formats.spans import Span, find_calls
from genotypes.formats.validation import LocatedGenotype, cells_from, read_states
from genotypes.types.cell import CELL_INPUTS, LABELS, MAX_NODES, Cell, CellGenotype, Edge

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat", "normal_order", "reduce_order")

Entry = tuple[str, int, str, int]
"""The field that an edge was read from, its node's index, its operation and source."""


def to_text(genotype: CellGenotype, form: str | None = None) -> str:
    """Return the namedtuple notation, on one line.

    Args:
        genotype: to write.
        form: ``text``, ``nested``, ``triples`` or ``edges``; by default ``text`` where every node of a cell has two
            edges, else ``nested``.

    Raises:
        GenotypeError: naming what the form cannot express: in ``text`` a node without exactly two edges, in ``edges``
            two edges of one source into one node, in ``triples`` an empty last node that is not concatenated.
    """
    fields, orders, faults = [], [], []
    for label, cell in zip(LABELS, (genotype.normal, genotype.reduce)):
        faults += _inexpressible(cell, label, form)
        fields.append(f"{label}={_edge_list(cell, form)}")
        first, stop = cell.concat[0], cell.concat[-1] + 1
        ranged = cell.concat == tuple(range(first, stop))
        fields.append(f"{label}_concat={range(first, stop) if ranged else list(cell.concat)}")
        order = [[edge.source for edge in node] for node in cell.nodes]
        if form == "edges" and any(sources != sorted(sources) for sources in order):
            orders.append(f"{label}_order={order}")
    if faults:
        raise GenotypeError(faults, f"{genotype.name or 'genotype'} as {form}")
    return f"Genotype({', '.join([*fields, *orders])})"


def _edge_list(cell: Cell, form: str | None) -> list[Any]:
    pairs = [[(edge.op, edge.source) for edge in node] for node in cell.nodes]
    if form == "triples":
        return [(op, node, source) for node, edges in enumerate(pairs, CELL_INPUTS) for op, source in edges]
    if form == "edges":
        ops = [{source: op for op, source in edges} for edges in pairs]
        return [ops[node].get(source) for node, source in _complete(len(pairs))]
    if form == "text" or (form is None and all(len(node) == 2 for node in pairs)):
        return [pair for node in pairs for pair in node]
    return pairs


def _complete(nodes: int) -> Iterator[tuple[int, int]]:
    """Yield the (node, source) of every edge of the complete graph, in the order of edge lists."""
    return ((node, source) for node in range(nodes) for source in range(CELL_INPUTS + node))


def _inexpressible(cell: Cell, label: str, form: str | None) -> list[Fault]:
    faults = []
    for index, edges in enumerate(cell.nodes):
        path, sources = f"{label}.nodes[{index}]", [edge.source for edge in edges]
        if form == "text" and len(edges) != 2:
            faults.append(Fault(path, f"{len(edges)} edges", "two for each node; nested or triples hold any number"))
        if form == "edges" and len(set(sources)) < len(sources):
            faults.append(Fault(path, "two edges from one state", "one; text, nested or triples hold more"))
    last = CELL_INPUTS + len(cell.nodes) - 1
    if form == "triples" and not cell.nodes[-1] and last > max(cell.concat):
        path = f"{label}.nodes[{len(cell.nodes) - 1}]"
        faults.append(Fault(path, "an empty last node", "one that is concatenated; nested or edges hold it"))
    return faults


def find_texts(text: str) -> Iterator[Span]:
    """Yield the namedtuples of cells within a text."""
    return find_calls(text, FIELDS)


def read_text(text: str, source: str = "genotype") -> LocatedGenotype:
    """Read the namedtuple notation in any dialect, with or without a ``NAME =`` before it, and the line of every field.

    Raises:
        GenotypeError: naming line and column, or line and field, of all that is wrong.
    """
    name, fields, lines = read_call(text, "Genotype", FIELDS, MAX_NODES, source)
    faults: list[Fault] = []
    cells = [_cell(fields, label, lines, faults) for label in LABELS]
    try:
        return LocatedGenotype(cells_from(cells, faults).named(name), lines)
    except GenotypeError as error:
        raise error.within(source).at_lines(lines) from None


def _cell(fields: dict[str, Any], label: str, lines: dict[str, int], faults: list[Fault]) -> Cell | None:
    """Read one cell; note the lines of its fields under the names that faults use."""
    concat = read_states(fields.get(f"{label}_concat"), f"{label}.concat", faults)
    for index in range(len(concat)):
        lines[f"{label}.concat[{index}]"] = lines.get(f"{label}_concat[{index}]", lines[f"{label}_concat"])
    read = _entries(fields.get(label), concat, label, lines, faults)
    if read is None:
        return None
    entries, count = read
    if count > MAX_NODES:
        faults.append(Fault(label, f"{count} nodes", f"at most {MAX_NODES}"))
        return None
    nodes = _nodes(entries, count, label, lines)
    order = fields.get(f"{label}_order")
    if order is not None:
        nodes = _ordered(nodes, order, f"{label}_order", faults)
    return Cell(nodes, concat)


def _entries(
    value: Any, concat: tuple[int, ...], label: str, lines: dict[str, int], faults: list[Fault]
) -> tuple[list[Entry], int] | None:
    """Return a cell's edges in any dialect, and its number of nodes; None where it is in none."""
    if not isinstance(value, list) or not value:
        faults.append(Fault(label, quote(value) if value else "no edges", "a list of (op, input) pairs"))
        return None
    forms = [_entry_form(item) for item in value]
    unknown = next((index for index, form in enumerate(forms) if form is None), None)
    odd = next((index for index, form in enumerate(forms) if form != forms[0]), 0) if unknown is None else unknown
    if odd or unknown is not None:
        allowed = "pairs (op, input), triples (op, to, from), a list for each node, or operations: all of one form"
        faults.append(Fault(f"{label}[{odd}]", "mixed entries" if unknown is None else quote(value[unknown]), allowed))
        return None
    if forms[0] in ("pair", "triple"):
        value = [without_weight(item) for item in value]
    if forms[0] == "pair":
        if len(value) % 2:
            faults.append(Fault(label, f"{len(value)} pairs", "two pairs for each node"))
        return [(f"{label}[{i}]", i // 2, *pair) for i, pair in enumerate(value)], (len(value) + 1) // 2
    if forms[0] == "node":
        lines.update({f"{label}.nodes[{node}]": lines[f"{label}[{node}]"] for node in range(len(value))})
        nodes = [(f"{label}[{node}]", node, pairs) for node, pairs in enumerate(value)]
        return [
            (f"{path}[{i}]", node, *(without_weight(pair) or ()))
            for path, node, pairs in nodes
            for i, pair in enumerate(pairs)
        ], len(value)
    if forms[0] == "op":
        count = next((n for n in range(1, MAX_NODES) if n * (n + 2 * CELL_INPUTS - 1) // 2 >= len(value)), 0)
        edges = list(_complete(count))
        if len(edges) != len(value):
            faults.append(Fault(label, f"{len(value)} edges", "2, 5, 9, 14, ...: one for every edge of the graph"))
            return None
        listed = enumerate(zip(edges, value))
        return [(f"{label}[{i}]", node, op, source) for i, ((node, source), op) in listed if op is not None], count
    last = max([*(to for _, to, _ in value), *concat])
    if min(to for _, to, _ in value) < CELL_INPUTS or last >= CELL_INPUTS + MAX_NODES:
        allowed = f"{CELL_INPUTS} to {CELL_INPUTS + MAX_NODES - 1}"
        faults.append(Fault(label, "a triple to a state that is no node", allowed))
        return None
    entries = [(f"{label}[{i}]", to - CELL_INPUTS, op, source) for i, (op, to, source) in enumerate(value)]
    return entries, last - CELL_INPUTS + 1


def _entry_form(item: Any) -> str | None:
    if item is None or isinstance(item, str):
        return "op"
    if not isinstance(item, list):
        return None
    edge = without_weight(item)
    if edge is not None:
        return {2: "pair", 3: "triple"}.get(len(edge))
    return "node" if all(_entry_form(inner) == "pair" for inner in item) else None


def _nodes(entries: list[Entry], count: int, label: str, lines: dict[str, int]) -> tuple[tuple[Edge, ...], ...]:
    """Group edges by their nodes, and note the line of each under the name that faults use."""
    nodes: list[list[Edge]] = [[] for _ in range(count)]
    for field, node, op, source in entries:
        path = f"{label}.nodes[{node}]"
        lines.setdefault(path, lines[field])
        lines[f"{path}[{len(nodes[node])}]"] = lines[field]
        nodes[node].append(Edge(op, source))
    return tuple(map(tuple, nodes))


def _ordered(
    nodes: tuple[tuple[Edge, ...], ...], order: Any, field: str, faults: list[Fault]
) -> tuple[tuple[Edge, ...], ...]:
    """Return the nodes with each one's edges in the order in which their sources are listed."""
    if not isinstance(order, list) or len(order) != len(nodes):
        faults.append(Fault(field, quote(order), f"a list of sources for each of {len(nodes)} nodes"))
        return nodes
    result = []
    for index, (edges, sources) in enumerate(zip(nodes, order)):
        by_source = {edge.source: edge for edge in edges}
        known = isinstance(sources, list) and all(map(is_int, sources)) and len(sources) == len(edges)
        if not known or set(sources) != set(by_source) or len(by_source) != len(edges):
            faults.append(Fault(f"{field}[{index}]", quote(sources), f"{sorted(by_source)} in some order"))
            result.append(edges)
        else:
            result.append(tuple(by_source[source] for source in sources))
    return tuple(result)


def is_identifier(name: str) -> bool:
    """Return whether a name can precede the notation, as in ``NAME = Genotype(...)``."""
    return re.fullmatch(r"[A-Za-z_]\w*", name) is not None
