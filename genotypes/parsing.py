"""Command lines parsed by tyro, whose messages are boxes of ten lines and more: here a mistake is one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from genotypes.errors import InputError

T = TypeVar("T")

HELP = ("For full helptext", "Argument helptext", "Arguments similar to", "Perhaps")
"""Beginnings of the paragraphs that quote the help."""


def parsed(parse: Callable[[], T]) -> T:
    """Return what a call of tyro returns. ``--help`` is printed and ends the process.

    Raises:
        InputError: where the command line cannot be parsed, in one line.
    """
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            return parse()
    except SystemExit as stop:
        if not stop.code:
            raise
    raise InputError("; ".join([*paragraphs(written.getvalue()), "see --help"]))


def paragraphs(box: str) -> Iterator[str]:
    """Yield the paragraphs of a message of tyro's: a box with a title, and bars between the paragraphs.

    Of those that quote the help, the name of the nearest option is left.
    """
    lines = [line.strip("│╭╮╰╯| ") for line in box.splitlines()]
    found = [" ".join(paragraph.split()) for paragraph in re.split("[─-]{5,}", " ".join(lines))[1:]]
    unknown = ""
    for paragraph in found:
        nearest = re.match(r"Perhaps you meant: (--[\w.-]+)", paragraph)
        misplaced = re.match(r"Unrecognized or misplaced options: (\S+) \(applied to [^)]*?(\S+)\)", paragraph)
        if nearest and nearest[1] != unknown:
            yield f"the nearest: {nearest[1]}"
        elif misplaced:
            unknown = misplaced[1]
            yield f"{shortened(misplaced[1])} is no option of {misplaced[2]}"
        elif paragraph and not nearest and not paragraph.startswith(HELP):
            yield shortened(paragraph.rstrip("."), 300)


def shortened(text: str, most: int = 80) -> str:
    """Return a text as a message quotes it: what is typed can be of any length."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
