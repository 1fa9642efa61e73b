"""JSON read with the line of every value, reporting more than one mistake at once.

The standard library's reader forgets the positions of values and stops at the first mistake. This one knows every
value's line, continues after common slips of manual edits (a missing comma or quotation mark), and is bounded in
depth, size and time for any text.
"""

import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NoReturn

from genotypes.faults import Fault, quote, within

MAX_CHARACTERS = 200_000
MAX_DEPTH = 16
MAX_VALUES = 6000
MAX_SYNTAX_FAULTS = 20


class Lines:
    """Lines and columns of a text, both counted from 1."""

    def __init__(self, text: str):
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.last = 0

    def line(self, offset: int) -> int:
        """Return the line of the character at ``offset``, fastest for offsets that grow."""
        following = self.starts[self.last + 1] if self.last + 1 < len(self.starts) else offset + 1
        if not self.starts[self.last] <= offset < following:
            self.last = bisect_right(self.starts, offset) - 1
        return self.last + 1

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line and column of the character at ``offset``."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


@dataclass(frozen=True)
class LocatedJson:
    """A value, the line of each field in it (``normal.nodes[0][1].op`` -> 14), and the faults of the text.

    A faulty value is read as ``None``, and its fault names its field; a fault of punctuation names its column.
    """

    value: Any
    lines: dict[str, int]
    faults: list[Fault]


def read_json(text: str) -> LocatedJson:
    """Read a JSON document. Never raises: where the rest of the text cannot be read, the last fault says so."""
    reader = _Reader(text)
    if len(text) > MAX_CHARACTERS:
        return LocatedJson(None, {}, [Fault("file", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")])
    try:
        value = reader.document()
    except _Stop:
        value = None
    return LocatedJson(value, reader.lines, reader.faults)


class _Stop(Exception):
    """The rest of the text cannot be read."""


class _Reader:
    """A recursive descent over tokens; a fault is recorded, and reading continues where the meaning is clear."""

    _token = re.compile(
        r"""[ \t\r\n]*(?:(?P<string>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*") | (?P<quoted>'[^'\n]*')
            | (?P<word>[^\s\[\]{}:,"']+) | (?P<sign>[\[\]{}:,]))?""",
        re.VERBOSE,
    )
    _number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
    _literals = {"true": True, "false": False, "null": None}

    def __init__(self, text: str):
        self.text, self.end, self.values = text, 0, 0
        self.positions = Lines(text)
        self.lines: dict[str, int] = {}
        self.faults: list[Fault] = []
        self._take()

    def document(self) -> Any:
        value = self._value("", 0)
        if self.start < len(self.text):
            self._stop("nothing after the closing brace")
        return value

    def _value(self, path: str, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            allowed = f"at most {MAX_VALUES} values" if depth <= MAX_DEPTH else f"at most {MAX_DEPTH} levels"
            self._stop(allowed, "more")
        kind, token, line = self.kind, self.token, self.positions.line(self.start)
        if path:
            self.lines[path] = line
        if kind == "sign" and token in "{[":
            return self._object(path, depth) if token == "{" else self._list(path, depth)
        if kind not in ("string", "quoted", "word"):
            self._stop("a value")
        self._take()
        value: Any
        if kind == "string":
            value, allowed = self._read_string(token), "Unicode text"
        elif self._number.fullmatch(token):
            value, allowed = self._read_number(token), "a finite number of at most 40 characters"
        else:
            value, allowed = self._literals.get(token), 'a number, true, false, null or "text"'
        if value is None and token != "null":
            self._fault(quote(token), allowed, line, path or "file")
        return value

    def _read_number(self, token: str) -> float | int | None:
        if len(token) > 40:
            return None
        number = int(token) if token.lstrip("-").isdigit() else float(token)
        return number if math.isfinite(number) else None

    def _read_string(self, token: str) -> str | None:
        """Return the string, or None where an escape sequence is no character."""
        if token.isascii() and "\\" not in token:
            return token[1:-1]
        try:
            value = json.loads(token)
            value.encode()
        except ValueError:
            return None
        return value

    def _object(self, path: str, depth: int) -> dict[str, Any]:
        self._take()
        found: dict[str, Any] = {}
        while self.token != "}":
            line, column = self._position()
            key = self._read_string(self.token) if self.kind == "string" else None
            if key is None:
                if self.kind not in ("word", "quoted", "string"):
                    self._stop('a field\'s name in "..."')
                self._fault(quote(self.token), 'a field\'s name in "..."', line, f"column {column}")
                key = self.token.strip("'")
            self._take()
            field = within(path, key)
            if self.token != ":":
                self._stop("':'")
            self._take()
            if key in found:
                self._fault(f"{quote(key)} again", "each field once", line, field)
            found[key] = self._value(field, depth + 1)
            self._separator("}")
        self._take()
        return found

    def _list(self, path: str, depth: int) -> list[Any]:
        self._take()
        found: list[Any] = []
        while self.token != "]":
            found.append(self._value(f"{path}[{len(found)}]", depth + 1))
            self._separator("]")
        self._take()
        return found

    def _separator(self, close: str) -> None:
        """Take the comma between two items, or none before the closing bracket."""
        if self.token == close:
            return
        start = self.start
        if self.token == ",":
            self._take()
            if self.token == close:
                line, column = self.positions.position(start)
                self._fault("','", f"none before {close!r}", line, f"column {column}")
        elif self.token and self.token not in "]}:":
            line, column = self._position()
            self._fault(quote(self.token), f"',' or {close!r} before it", line, f"column {column}")
        else:
            self._stop(f"',' or {close!r}")

    def _take(self) -> None:
        """Advance to the next token; it is empty at the end or where none matches."""
        match = self._token.match(self.text, self.end)
        assert match is not None  # the pattern matches the empty text
        self.end, self.kind = match.end(), match.lastgroup or ""
        self.token = match[self.kind] if self.kind else ""
        self.start = self.end - len(self.token)

    def _position(self) -> tuple[int, int]:
        return self.positions.position(self.start)

    def _fault(self, found: str, allowed: str, line: int, field: str) -> None:
        self.faults.append(Fault(field, found, allowed, line))
        if len(self.faults) >= MAX_SYNTAX_FAULTS:
            raise _Stop

    def _stop(self, allowed: str, found: str = "") -> NoReturn:
        rest = self.text[self.start : self.start + 20]
        line, column = self._position()
        self._fault(found or (quote(rest) if rest else "the end of the text"), allowed, line, f"column {column}")
        raise _Stop
