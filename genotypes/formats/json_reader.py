"""Where things stand in a text: JSON read with the line of every value, and more than one mistake found at once.

The standard library's reader forgets where a value stood and stops at the first mistake. This one knows every value's
line, goes on behind what people forget when they edit by hand (a comma, a quotation mark), and is bounded in depth,
size and time whatever the text holds.
"""

import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NoReturn

from genotypes.types.cell import Fault, quote

MAX_CHARACTERS = 200_000
MAX_DEPTH = 16
MAX_VALUES = 6000
MAX_SYNTAX_FAULTS = 20


class Lines:
    """Lines and columns of a text, both counted from 1."""

    def __init__(self, text: str):
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, offset: int) -> tuple[int, int]:
        """The line and column of the character at ``offset``."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


@dataclass(frozen=True)
class Located:
    """A value, the line of each field in it (``normal.nodes[0][1].op`` -> 14), and what was wrong with the text.

    A faulty value is read as ``None``, and its fault names its field; a fault of punctuation names its column.
    """

    value: Any
    lines: dict[str, int]
    faults: list[Fault]


def read_json(text: str) -> Located:
    """Read a JSON document. Never raises: where the text ends to make sense, the last fault says so."""
    reader = _Reader(text)
    if len(text) > MAX_CHARACTERS:
        return Located(None, {}, [Fault("file", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")])
    try:
        value = reader.document()
    except _Stop:
        value = None
    return Located(value, reader.lines, reader.faults)


def within(path: str, key: str) -> str:
    """The path of an object's field, short and on one line whatever its name."""
    name = key[:40] if key.isprintable() else quote(key[:40])
    return f"{path}.{name}" if path else name


class _Stop(Exception):
    """The rest of the text makes no sense."""


class _Reader:
    """A recursive descent over tokens; a fault is recorded, and reading goes on where the meaning is clear."""

    _space = re.compile(r"[ \t\r\n]*")
    _token = re.compile(
        r"""(?P<string>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*") | (?P<quoted>'[^'\n]*')
            | (?P<word>[^\s\[\]{}:,"']+) | (?P<sign>[\[\]{}:,])""",
        re.VERBOSE,
    )
    _number = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
    _words = {"true": True, "false": False, "null": None}

    def __init__(self, text: str):
        self.text, self.end, self.values = text, 0, 0
        self.places = Lines(text)
        self.lines: dict[str, int] = {}
        self.faults: list[Fault] = []
        self._take()

    def document(self) -> Any:
        value = self._value("", 0)
        if self.start < len(self.text):
            self._stop("nothing behind the closing brace")
        return value

    def _value(self, path: str, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            allowed = f"at most {MAX_VALUES} values" if depth <= MAX_DEPTH else f"at most {MAX_DEPTH} levels"
            self._stop(allowed, "more")
        kind, token, line = self.kind, self.token, self._place()[0]
        if path:
            self.lines[path] = line
        if kind == "sign" and token in "{[":
            return self._object(path, depth) if token == "{" else self._list(path, depth)
        if kind not in ("string", "quoted", "word"):
            self._stop("a value")
        self._take()
        if kind == "string":
            value, allowed = self._read_string(token), "Unicode text"
        elif self._number.fullmatch(token):
            value, allowed = self._read_number(token), "a finite number of at most 40 characters"
        else:
            value, allowed = self._words.get(token), 'a number, true, false, null or "text"'
        if value is None and token != "null":
            self._fault(quote(token), allowed, line, path or "file")
        return value

    def _read_number(self, token: str) -> float | int | None:
        if len(token) > 40:
            return None
        number = float(token) if self._number.fullmatch(token)["rest"] else int(token)
        return number if math.isfinite(number) else None

    def _read_string(self, token: str) -> str | None:
        """The string, or None where its escapes spell no character."""
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
            line, column = self._place()
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
        """The comma between two items, or none before the bracket that closes them."""
        if self.token == close:
            return
        line, column = self._place()
        if self.token == ",":
            self._take()
            if self.token == close:
                self._fault("','", f"none before {close!r}", line, f"column {column}")
        elif self.token and self.token not in "]}:":
            self._fault(quote(self.token), f"',' or {close!r} before it", line, f"column {column}")
        else:
            self._stop(f"',' or {close!r}")

    def _take(self) -> None:
        """Go to the next token; it is empty where there is none."""
        self.start = self._space.match(self.text, self.end).end()
        match = self._token.match(self.text, self.start)
        self.kind = match.lastgroup if match else ""
        self.token = match[0] if match else ""
        self.end = self.start + len(self.token)

    def _place(self) -> tuple[int, int]:
        return self.places.place(self.start)

    def _fault(self, found: str, allowed: str, line: int, field: str) -> None:
        self.faults.append(Fault(field, found, allowed, line))
        if len(self.faults) >= MAX_SYNTAX_FAULTS:
            raise _Stop

    def _stop(self, allowed: str, found: str = "") -> NoReturn:
        rest = self.text[self.start : self.start + 20]
        line, column = self._place()
        self._fault(found or (quote(rest) if rest else "the end of the text"), allowed, line, f"column {column}")
        raise _Stop
