"""Genotypes as text: versioned JSON, and the DARTS family's namedtuple notation. Parsed, never evaluated.

The JSON form names the edge's two ends and holds one edge a line, so that an edited edge is one changed line::

    {
      "format": "cell-genotype",
      "version": 1,
      "name": "DARTS_V2",
      "normal": {
        "nodes": [
          [
            {"op": "sep_conv_3x3", "from": 0},
            {"op": "sep_conv_3x3", "from": 1}
          ]
        ],
        "concat": [2]
      },
      "reduce": { ... }
    }

The namedtuple text is what DARTS and its descendants log: ``Genotype(normal=[('sep_conv_3x3', 0), ...],
normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))``. Read are two ``(op, input)`` pairs a node in one
flat list, ``(op, to, from)`` triples, and one tuple or list of pairs for each node.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from genotypes.genotype import CELL_INPUTS, Cell, CellGenotype, Edge, Fault, GenotypeError

FORMAT = "cell-genotype"
VERSION = 1
MAX_CHARACTERS = 1_000_000
MAX_NODES = 256
MAX_DEPTH = 8


def to_json(genotype: CellGenotype, extra: Mapping[str, Any] | None = None) -> str:
    """Versioned JSON with a stable field order and one edge a line. ``extra`` holds further JSON fields to keep."""
    lines = ["{", f'  "format": "{FORMAT}",', f'  "version": {VERSION},']
    for key, value in {"name": genotype.name, **(extra or {})}.items():
        if value is not None:
            text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
            lines.append(f"  {json.dumps(key)}: {text},")
    for label, cell in (("normal", genotype.normal), ("reduce", genotype.reduce)):
        nodes = []
        for edges in cell.nodes:
            rows = [f'        {{"op": {json.dumps(edge.op)}, "from": {edge.source}}}' for edge in edges]
            nodes.append("      [\n" + ",\n".join(rows) + "\n      ]" if rows else "      []")
        lines += [f'  "{label}": {{', '    "nodes": [', ",\n".join(nodes), "    ],"]
        lines += [f'    "concat": {json.dumps(list(cell.concat))}', "  }" + ("," if label == "normal" else "")]
    return "\n".join([*lines, "}"]) + "\n"


def from_json(text: str, source: str = "genotype") -> CellGenotype:
    """Read the versioned JSON form.

    Args:
        text: the document.
        source: what to call it in an error, such as the file's path.

    Raises:
        GenotypeError: naming each field that is missing, of a wrong type or out of range.
    """
    return _from_document(_document(text, source), source)


def extra_fields(text: str, source: str = "genotype") -> dict[str, Any]:
    """What a JSON document holds beside the cells: a library file's paper, source, reported figures."""
    known = {"format", "version", "normal", "reduce"}
    return {key: value for key, value in _document(text, source).items() if key not in known}


def _document(text: str, source: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise GenotypeError([Fault("file", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")], source)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise GenotypeError([Fault(place, error.msg, "a JSON document")], source) from None
    except (ValueError, RecursionError) as error:
        raise GenotypeError([Fault("file", str(error)[:80], "a JSON document")], source) from None
    if not isinstance(document, dict):
        raise GenotypeError([Fault("file", _kind(document), "an object with normal and reduce")], source)
    return document


def _from_document(document: dict[str, Any], source: str) -> CellGenotype:
    faults: list[Fault] = []
    if document.get("format") != FORMAT:
        faults.append(Fault("format", _show(document.get("format")), repr(FORMAT)))
    if document.get("version") != VERSION or isinstance(document.get("version"), bool):
        faults.append(Fault("version", _show(document.get("version")), str(VERSION)))
    name = document.get("name")
    if name is not None and not isinstance(name, str):
        faults.append(Fault("name", _show(name), "a string"))
    cells = [_cell_from_json(document.get(label), label, faults) for label in ("normal", "reduce")]
    if faults:
        raise GenotypeError(faults, source)
    return _build(cells, name, source)


def _cell_from_json(value: Any, label: str, faults: list[Fault]) -> Cell:
    if not isinstance(value, dict):
        faults.append(Fault(label, _show(value), "an object with nodes and concat"))
        return Cell((), ())
    nodes = []
    listed = value.get("nodes")
    if not isinstance(listed, list) or len(listed) > MAX_NODES:
        faults.append(Fault(f"{label}.nodes", _show(listed), f"a list of at most {MAX_NODES} nodes"))
        listed = []
    for index, edges in enumerate(listed):
        if not isinstance(edges, list):
            faults.append(Fault(f"{label}.nodes[{index}]", _show(edges), "a list of edges"))
            continue
        row = []
        for position, edge in enumerate(edges):
            where = f"{label}.nodes[{index}][{position}]"
            if not isinstance(edge, dict) or set(edge) != {"op", "from"}:
                faults.append(Fault(where, _show(edge), 'an edge {"op": name, "from": state}'))
            elif not isinstance(edge["op"], str):
                faults.append(Fault(f"{where}.op", _show(edge["op"]), "an operation's name"))
            elif not _is_int(edge["from"]):
                faults.append(Fault(f"{where}.from", _show(edge["from"]), "a state's number"))
            else:
                row.append(Edge(edge["op"], edge["from"]))
        nodes.append(tuple(row))
    return Cell(tuple(nodes), _concat(value.get("concat"), f"{label}.concat", faults))


def to_text(genotype: CellGenotype) -> str:
    """The DARTS namedtuple notation, on one line: flat pairs where every node has two edges, else nested pairs."""
    fields = []
    for label, cell in (("normal", genotype.normal), ("reduce", genotype.reduce)):
        nodes = [[(edge.op, edge.source) for edge in node] for node in cell.nodes]
        flat = all(len(node) == 2 for node in nodes)
        fields.append(f"{label}={[pair for node in nodes for pair in node] if flat else nodes}")
        first, stop = cell.concat[0], cell.concat[-1] + 1
        ranged = cell.concat == tuple(range(first, stop))
        fields.append(f"{label}_concat={range(first, stop) if ranged else list(cell.concat)}")
    return f"Genotype({', '.join(fields)})"


def from_text(text: str, source: str = "genotype") -> CellGenotype:
    """Read the namedtuple notation, with or without a ``NAME =`` before it.

    Raises:
        GenotypeError: naming the character or field at fault.
    """
    if len(text) > MAX_CHARACTERS:
        raise GenotypeError([Fault("text", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")], source)
    try:
        name, fields = _Notation(text).genotype()
    except _NotationError as error:
        raise GenotypeError([Fault(f"line {error.line}, column {error.column}", *error.args)], source) from None
    faults: list[Fault] = []
    cells = []
    for label in ("normal", "reduce"):
        concat = _concat(fields.get(f"{label}_concat"), f"{label}_concat", faults)
        cells.append(Cell(_nodes_from_text(fields.get(label), concat, label, faults), concat))
    if faults:
        raise GenotypeError(faults, source)
    return _build(cells, name, source)


def _nodes_from_text(value: Any, concat: tuple[int, ...], label: str, faults: list[Fault]) -> tuple:
    if not isinstance(value, list) or not value:
        faults.append(Fault(label, _show(value), "a list of (op, input) pairs"))
        return ()
    if all(_is_edge(item, 2) for item in value):
        if len(value) % 2:
            faults.append(Fault(label, f"{len(value)} pairs", "two pairs for each node"))
        return tuple(tuple(Edge(*pair) for pair in value[i : i + 2]) for i in range(0, len(value), 2))
    if all(_is_edge(item, 3) for item in value):
        last = max([*(to for _, to, _ in value), *concat])
        if min(to for _, to, _ in value) < CELL_INPUTS or last >= CELL_INPUTS + MAX_NODES:
            faults.append(Fault(label, "a triple to a state that is no node", f"{CELL_INPUTS} or more"))
            return ()
        nodes: list[list[Edge]] = [[] for _ in range(last - CELL_INPUTS + 1)]
        for op, to, origin in value:
            nodes[to - CELL_INPUTS].append(Edge(op, origin))
        return tuple(map(tuple, nodes))
    if all(isinstance(node, list) and all(_is_edge(item, 2) for item in node) for node in value):
        return tuple(tuple(Edge(*pair) for pair in node) for node in value)
    faults.append(Fault(label, "mixed entries", "pairs (op, input), triples (op, to, from), or one list for each node"))
    return ()


def _is_edge(item: Any, length: int) -> bool:
    return isinstance(item, list) and len(item) == length and isinstance(item[0], str) and all(map(_is_int, item[1:]))


def _concat(value: Any, field: str, faults: list[Fault]) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(map(_is_int, value)) or not value:
        faults.append(Fault(field, _show(value), "a list of states"))
        return ()
    return tuple(value)


def _build(cells: Sequence[Cell], name: str | None, source: str) -> CellGenotype:
    try:
        return CellGenotype(*cells, name=name)
    except GenotypeError as error:
        raise error.within(source) from None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "nothing"}.get(type(value), "a value")


def _show(value: Any) -> str:
    if isinstance(value, (dict, list, type(None))):
        return _kind(value)
    text = repr(value) if not _is_int(value) or abs(value) < 10**40 else "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


class _NotationError(Exception):
    """What was found and what was expected, with its place."""

    def __init__(self, found: str, allowed: str, line: int, column: int):
        super().__init__(found, allowed)
        self.line, self.column = line, column


class _Notation:
    """A reader of the few Python literals that the namedtuple notation uses: names, strings, whole numbers,
    lists, tuples and ``range``. Lists and tuples are read as lists."""

    _token = re.compile(
        r"""\s*(?: (?P<name>[A-Za-z_]\w*) | (?P<int>-?\d{1,9}(?!\w)) | '(?P<s>[^'\\\n]*)' | "(?P<d>[^"\\\n]*)"
              | (?P<sign>[=,()\[\]]) )""",
        re.VERBOSE,
    )

    def __init__(self, text: str):
        self.text, self.at = text.rstrip(), 0

    def genotype(self) -> tuple[str | None, dict[str, Any]]:
        name = None
        head = self._expect("name", "Genotype(...)")
        if self._peek() == ("sign", "="):
            self._next("=")
            name, head = head, self._expect("name", "Genotype(...)")
        self._sign("(")
        fields: dict[str, Any] = {}
        order = ("normal", "normal_concat", "reduce", "reduce_concat")
        while self._peek() != ("sign", ")"):
            field = self._expect("name", "one of " + ", ".join(order))
            if field not in order or field in fields:
                raise self._error(repr(field), "each once of " + ", ".join(order))
            self._sign("=")
            fields[field] = self._value(0)
            if self._peek() != ("sign", ")"):
                self._sign(",")
        self._sign(")")
        if self.at != len(self.text):
            raise self._error(repr(self.text[self.at : self.at + 20]), "nothing after the genotype")
        return name, fields

    def _value(self, depth: int) -> Any:
        kind, value = self._next("a value")
        if kind == "int":
            return int(value)
        if kind in "sd":
            return value
        if (kind, value) == ("name", "range"):
            self._sign("(")
            bounds = [int(self._expect("int", "a number"))]
            if self._peek() == ("sign", ","):
                self._sign(",")
                bounds.append(int(self._expect("int", "a number")))
            self._sign(")")
            if len(range(*bounds)) > MAX_NODES:
                raise self._error(f"range of {len(range(*bounds))}", f"at most {MAX_NODES} states")
            return list(range(*bounds))
        if kind == "sign" and value in "([" and depth < MAX_DEPTH:
            close = {"(": ")", "[": "]"}[value]
            items = []
            while self._peek() != ("sign", close):
                items.append(self._value(depth + 1))
                if self._peek() != ("sign", close):
                    self._sign(",")
            self._sign(close)
            return items
        raise self._error(repr(value[:40]), "a string, a number, a list, a tuple or range(...)")

    def _peek(self) -> tuple[str, str] | None:
        match = self._token.match(self.text, self.at)
        return (match.lastgroup, match[match.lastgroup]) if match else None

    def _next(self, wanted: str) -> tuple[str, str]:
        match = self._token.match(self.text, self.at)
        if not match:
            rest = self.text[self.at :].lstrip()[:20]
            raise self._error(repr(rest) if rest else "the end of the text", wanted)
        self.at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def _expect(self, kind: str, wanted: str) -> str:
        found = self._next(wanted)
        if found[0] != kind:
            raise self._error(repr(found[1][:40]), wanted)
        return found[1]

    def _sign(self, sign: str) -> None:
        found = self._next(repr(sign))
        if found != ("sign", sign):
            raise self._error(repr(found[1][:40]), repr(sign))

    def _error(self, found: str, allowed: str) -> _NotationError:
        before = self.text[: self.at]
        return _NotationError(found, allowed, before.count("\n") + 1, self.at - before.rfind("\n"))
