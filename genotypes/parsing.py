"""Command lines parsed by tyro, whose messages are boxes of ten lines and more: here a mistake is one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from genotypes.errors import InputError

T = TypeVar("T")


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
    for paragraph in found:
        nearest = re.match(r"Perhaps you meant: (--[\w.-]+)", paragraph)
        if nearest:
            yield f"the nearest: {nearest[1]}"
        elif paragraph and not paragraph.startswith(("For full helptext", "Argument helptext", "Perhaps")):
            yield paragraph.rstrip(".")
