"""Genotypes within other text: log lines, comments, Python modules, JSON records of epochs."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genotypes.formats.json_reader import MAX_CHARACTERS

HEAD_CHARACTERS = 200
"""The most characters of ``NAME = Genotype`` before its parenthesis."""

MAX_SPANS = 300
"""Genotypes of a text that are considered: the first and the last ones."""

_BRACKETS = re.compile(r"'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'|\"[^\"\\\n]*+(?:\\.[^\"\\\n]*+)*+\"|#[^\n]*|[()\[\]{}]")
_HEAD = re.compile(r"(?:(?<![\w.])(?P<name>[A-Za-z_]\w*)\s*=\s*)?(?<![\w.])[A-Za-z_][\w.]*\s*$")
_DICT_HEAD = re.compile(r"(?<![\w.])(?P<name>[A-Za-z_]\w*)\s*=\s*$")
_EPOCH = re.compile(r'"(?:epoch|point)"\s*:\s*(?P<number>[0-9]{1,9})\b')
_GENOTYPE = re.compile(r'"genotype"\s*:\s*(?P<text>"[^"\\]*+(?:\\.[^"\\]*+)*+")')


@dataclass(frozen=True)
class Span:
    """The part of a text that holds a genotype.

    Attributes:
        start: offset of its first character.
        bracket: offset of the bracket whose closing one is its last character; None where ``stop`` is known.
        name: where the text has ``NAME =`` before it.
        stop: offset after its last character.
    """

    start: int
    bracket: int | None
    name: str | None = None
    stop: int = 0

    def end(self, text: str) -> int:
        """Return the offset after its last character, or after too many characters; else the text's end."""
        if self.bracket is None:
            return self.stop
        depth, limit = 0, self.start + MAX_CHARACTERS + 1
        for match in _BRACKETS.finditer(text, self.bracket, limit):
            if match[0] in "([{":
                depth += 1
            elif match[0] in ")]}":
                depth -= 1
                if depth == 0:
                    return match.end()
        return min(limit, len(text))


def find_calls(text: str, fields: Sequence[str]) -> Iterator[Span]:
    """Yield the calls and dicts whose first keyword is one of ``fields``."""
    if not any(field in text for field in fields):
        return
    space, names = r"(?>\s+|#[^\n]*)*+", "|".join(fields)
    for match in _ends(rf"\({space}(?:{names})\s*=", text):
        head = _HEAD.search(text[max(0, match.start() - HEAD_CHARACTERS) : match.start()])
        if head is not None:
            start = match.start() - len(head[0])
            yield Span(start, match.start(), head["name"])
    for match in _ends(rf"\{{{space}['\"](?:{names})['\"]\s*:\s*[\[(rn]", text):
        head = _DICT_HEAD.search(text[max(0, match.start() - HEAD_CHARACTERS) : match.start()])
        start = match.start() - (len(head[0]) if head is not None else 0)
        yield Span(start, match.start(), head["name"] if head is not None else None)


def find_documents(text: str, formats: Sequence[str]) -> Iterator[Span]:
    """Yield the JSON documents that name one of ``formats`` first, or after their schema."""
    if '"format"' not in text:
        return
    names = "|".join(map(re.escape, formats))
    for match in _ends(rf'\{{\s*(?:"\$schema"\s*:\s*"[^"\n]*"\s*,\s*)?"format"\s*:\s*"(?:{names})"', text):
        yield Span(match.start(), match.start())


def _ends(pattern: str, text: str) -> list[re.Match[str]]:
    """Return the matches of a pattern, at most the first and the last ones of ``MAX_SPANS``."""
    matches = list(re.finditer(pattern, text))
    return matches if len(matches) <= MAX_SPANS else [*matches[: MAX_SPANS // 2], *matches[-MAX_SPANS // 2 :]]


def is_pareto_set(text: str) -> bool:
    """Return whether a text is a ``pareto.json``, whose genotypes have numbers of points and no order in time."""
    return re.search(r'"points"\s*:\s*\[\s*\{\s*"point"\s*:', text) is not None


def records(text: str) -> dict[int, str]:
    """Return epoch -> the genotype's text, from a run's ``genotypes.json`` or ``log.jsonl``; without epochs, by number.

    The points of a ``pareto.json`` have their numbers in place of epochs. A file without epochs, such as
    ``metrics.json``, has its genotype as number 0.
    """
    found: dict[int, str] = {}
    epoch = 0
    matches = [*_EPOCH.finditer(text), *_GENOTYPE.finditer(text)]
    for match in sorted(matches, key=lambda match: match.start()):
        if match.re is _EPOCH:
            epoch = int(match["number"])
            continue
        try:
            found[epoch] = json.loads(match["text"])
        except ValueError:  # a line that was cut or edited
            continue
    return found
