"""A Python call or dict of literals, read as data: strings, numbers, None, lists, tuples, ``range``, NumPy's numbers.

Nothing else is accepted, and nothing is evaluated. Comments are skipped.
"""

import re
from collections.abc import Sequence
from typing import Any

from genotypes.faults import Fault, GenotypeError, is_int, nearest, quote
from genotypes.formats.json_reader import MAX_CHARACTERS, MAX_VALUES, Lines

MAX_DEPTH = 8

RANGES = ("range", "arange")
CONVERSIONS = (
    *("array", "asarray", "tensor", "list", "tuple", "str", "str_", "int", "int_", "intp", "float", "float_"),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
"""Calls that are read as their first argument, with or without a module before them: ``np.float64(0.1)``."""


def read_call(
    text: str, called: str, fields: Sequence[str], longest: int, source: str
) -> tuple[str | None, dict[str, Any], dict[str, int]]:
    """Read ``Called(field=value, ...)`` or ``{'field': value, ...}``, with or without a ``NAME =`` before it.

    Args:
        text: to read.
        called: the name of what is called, for messages; the name in the text is not compared with it.
        fields: allowed keywords, each once.
        longest: the most numbers of a ``range``.
        source: the text's name in an error.

    Returns:
        The name or None; field -> value, where lists and tuples are lists; the line of each value, as
        ``normal[3]`` -> 2.

    Raises:
        GenotypeError: with line and column of the first thing that cannot be read.
    """
    if len(text) > MAX_CHARACTERS:
        raise GenotypeError([Fault("text", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")], source)
    reader = _Reader(text, longest)
    try:
        return (*reader.call(called, fields), reader.lines)
    except _Stop as stop:
        raise GenotypeError([stop.fault], source) from None


def without_weight(entry: Any) -> list[Any] | None:
    """Return an edge ``(op, number, ...)`` without a last number that is a float: its weight in the search.

    None where the entry is no edge: a name followed by integers.
    """
    if not isinstance(entry, list) or not entry or not isinstance(entry[0], str):
        return None
    values = entry[:-1] if len(entry) > 2 and isinstance(entry[-1], float) else entry
    return values if all(map(is_int, values[1:])) else None


class _Stop(Exception):
    """A fault after which nothing can be read."""

    def __init__(self, fault: Fault):
        super().__init__(str(fault))
        self.fault = fault


_COMMA = ("sign", ",")


class _Reader:
    """A recursive descent over tokens. ``token`` is the next one, ``begin`` the offset of the last one taken."""

    _token = re.compile(
        r"""(?>\s+|\#[^\n]*)*+(?: [bu]?'(?P<s>[^'\\\n]*)' | [bu]?"(?P<d>[^"\\\n]*)"
            | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
            | (?P<float>[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,4})?(?!\w)
                        |[-+]?[0-9]{1,40}[eE][-+]?[0-9]{1,4}(?!\w))
            | (?P<int>[-+]?[0-9]{1,9}(?!\w)) | (?P<opaque><[^<>\n]*>) | (?P<sign>[=,:()\[\]{}]) | (?P<start>))""",
        re.VERBOSE,
    )

    def __init__(self, text: str, longest: int):
        self.text, self.longest, self.values = text.rstrip(), longest, 0
        self.positions = Lines(text)
        self.lines: dict[str, int] = {}
        self.begin = self.end = 0
        self.token: tuple[str, str] | None = None
        self._advance()

    def call(self, called: str, known: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
        name = None
        if self.token != ("sign", "{"):
            head = self._expect(("name",), f"{called}(...)")
            if self.token == ("sign", "="):
                self._sign("=")
                name = head
                if self.token != ("sign", "{"):
                    self._expect(("name",), f"{called}(...)")
        in_dict = self.token == ("sign", "{")
        self._sign("{" if in_dict else "(")
        close = "}" if in_dict else ")"
        fields: dict[str, Any] = {}
        while self.token != ("sign", close):
            field = self._expect(("s", "d") if in_dict else ("name",), "one of " + ", ".join(known))
            if field not in known:
                raise self._stop(quote(field), nearest(field, known))
            if field in fields:
                raise self._stop(quote(field), "each once of " + ", ".join(known))
            self._sign(":" if in_dict else "=")
            fields[field] = self._value(field, 0)
            self._separator(close)
        self._sign(close)
        if self.token is not None or self.start < len(self.text):
            self.begin = self.start
            raise self._stop(quote(self.text[self.start : self.start + 20]), "nothing after the genotype")
        return name, fields

    def _value(self, path: str, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise self._stop("more", f"at most {MAX_VALUES} values")
        self.lines[path] = self.positions.line(self.start)
        kind, value = self._take("a value")
        if kind == "int":
            return int(value)
        if kind in ("s", "d"):
            return value
        if kind == "float":
            return float(value)
        if kind == "name" and value in ("None", "null"):
            return None
        if kind == "name" and value in ("nan", "inf"):
            return float(value)
        if kind == "name" and value.rpartition(".")[2] in RANGES:
            return self._range()
        if kind == "name" and value.rpartition(".")[2] in CONVERSIONS and depth < MAX_DEPTH:
            return self._converted(path, depth)
        if kind == "sign" and value in "([" and depth < MAX_DEPTH:
            close = ("sign", {"(": ")", "[": "]"}[value])
            items: list[Any] = []
            while self.token != close:
                items.append(self._value(f"{path}[{len(items)}]", depth + 1))
                if self.token == _COMMA:
                    self._advance()
                elif self.token != close:
                    self._sign(",")
            self._advance()
            return items
        raise self._stop(quote(value), "a string, a number, None, a list, a tuple or range(...)")

    def _converted(self, path: str, depth: int) -> Any:
        """Return the first argument of a conversion; its keyword arguments, such as ``dtype``, are ignored."""
        self._sign("(")
        value = self._value(path, depth + 1)
        while self.token != ("sign", ")"):
            self._sign(",")
            if self.token != ("sign", ")"):
                self._expect(("name",), "a keyword")
                self._sign("=")
                self._expect(("name", "s", "d", "int", "float", "opaque"), "a keyword's value")
        self._sign(")")
        return value

    def _range(self) -> list[int]:
        self._sign("(")
        bounds: list[int] = []
        while self.token != ("sign", ")") and len(bounds) < 3:
            bound = self._value("", MAX_DEPTH - 1)
            if not isinstance(bound, int):
                raise self._stop(quote(bound), "a number")
            bounds.append(bound)
            self._separator(")")
        self._sign(")")
        if not bounds or bounds[2:] == [0]:
            raise self._stop("a range without numbers", "range(first, end)")
        numbers = range(*bounds)
        if len(numbers) > self.longest:
            raise self._stop(f"range of {len(numbers)}", f"at most {self.longest} states")
        return list(numbers)

    def _separator(self, close: str) -> None:
        if self.token != ("sign", close):
            self._sign(",")

    def _expect(self, kinds: Sequence[str], wanted: str) -> str:
        found = self._take(wanted)
        if found[0] not in kinds:
            raise self._stop(quote(found[1]), wanted)
        return found[1]

    def _sign(self, sign: str) -> None:
        found = self._take(repr(sign))
        if found != ("sign", sign):
            raise self._stop(quote(found[1]), repr(sign))

    def _take(self, wanted: str) -> tuple[str, str]:
        found, self.begin = self.token, self.start
        if found is None:
            rest = self.text[self.start :][:20]
            raise self._stop(quote(rest) if rest else "the end of the text", wanted)
        self._advance()
        return found

    def _advance(self) -> None:
        match = self._token.match(self.text, self.end)
        assert match is not None and match.lastgroup is not None  # the pattern matches the empty text
        kind = match.lastgroup
        self.token = (kind, match[kind]) if kind != "start" else None
        self.start = match.start(kind) - (kind in ("s", "d"))  # the quotation mark
        self.end = match.end()

    def _stop(self, found: str, allowed: str) -> _Stop:
        line, column = self.positions.position(self.begin)
        return _Stop(Fault(f"column {column}", found, allowed, line))
