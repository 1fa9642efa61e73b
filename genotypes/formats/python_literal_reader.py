"""A Python call with keyword arguments, read as data: names, strings, integers, None, lists, tuples and ``range``.

Nothing else is accepted, and nothing is evaluated.
"""

import re
from collections.abc import Sequence
from typing import Any

from genotypes.faults import Fault, GenotypeError, nearest, quote
from genotypes.formats.json_reader import MAX_CHARACTERS, MAX_VALUES, Lines

MAX_DEPTH = 8


def read_call(
    text: str, called: str, fields: Sequence[str], longest: int, source: str
) -> tuple[str | None, dict[str, Any], dict[str, int]]:
    """Read ``Called(field=value, ...)``, with or without a ``NAME =`` before it.

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


class _Stop(Exception):
    """A fault after which nothing can be read."""

    def __init__(self, fault: Fault):
        super().__init__(str(fault))
        self.fault = fault


class _Reader:
    """A recursive descent over tokens. ``token`` is the next one, ``begin`` the offset of the last one taken."""

    _token = re.compile(
        r"""\s*(?: (?P<name>[A-Za-z_]\w*) | (?P<int>-?[0-9]{1,9}(?!\w)) | '(?P<s>[^'\\\n]*)' | "(?P<d>[^"\\\n]*)"
              | (?P<sign>[=,()\[\]]) )?""",
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
        head = self._expect("name", f"{called}(...)")
        if self.token == ("sign", "="):
            self._sign("=")
            name, head = head, self._expect("name", f"{called}(...)")
        self._sign("(")
        fields: dict[str, Any] = {}
        while self.token != ("sign", ")"):
            field = self._expect("name", "one of " + ", ".join(known))
            if field not in known:
                raise self._stop(quote(field), nearest(field, known))
            if field in fields:
                raise self._stop(quote(field), "each once of " + ", ".join(known))
            self._sign("=")
            fields[field] = self._value(field, 0)
            self._separator(")")
        self._sign(")")
        if self.token is not None or self.start < len(self.text):
            self.begin = self.start
            raise self._stop(quote(self.text[self.start : self.start + 20]), "nothing after the genotype")
        return name, fields

    def _value(self, path: str, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise self._stop("more", f"at most {MAX_VALUES} values")
        self.lines[path] = self.positions.position(self.start)[0]
        kind, value = self._take("a value")
        if kind == "int":
            return int(value)
        if kind in "sd":
            return value
        if (kind, value) == ("name", "None"):
            return None
        if (kind, value) == ("name", "range"):
            return self._range()
        if kind == "sign" and value in "([" and depth < MAX_DEPTH:
            close = {"(": ")", "[": "]"}[value]
            items: list[Any] = []
            while self.token != ("sign", close):
                items.append(self._value(f"{path}[{len(items)}]", depth + 1))
                self._separator(close)
            self._sign(close)
            return items
        raise self._stop(quote(value), "a string, a number, None, a list, a tuple or range(...)")

    def _range(self) -> list[int]:
        self._sign("(")
        bounds = [int(self._expect("int", "a number"))]
        if self.token == ("sign", ","):
            self._sign(",")
            bounds.append(int(self._expect("int", "a number")))
        self._sign(")")
        numbers = range(*bounds)
        if len(numbers) > self.longest:
            raise self._stop(f"range of {len(numbers)}", f"at most {self.longest} states")
        return list(numbers)

    def _separator(self, close: str) -> None:
        if self.token != ("sign", close):
            self._sign(",")

    def _expect(self, kind: str, wanted: str) -> str:
        found = self._take(wanted)
        if found[0] != kind:
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
        assert match is not None  # the pattern matches the empty text
        kind = match.lastgroup
        self.token = (kind, match[kind]) if kind else None
        quotes = 1 if kind in ("s", "d") else 0
        self.start, self.end = (match.start(kind) - quotes if kind else match.end()), match.end()

    def _stop(self, found: str, allowed: str) -> _Stop:
        line, column = self.positions.position(self.begin)
        return _Stop(Fault(f"column {column}", found, allowed, line))
