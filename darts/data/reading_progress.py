"""Progress of reading many files: a bar on a terminal, a line every so often elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from darts.processes import is_main_process

T = TypeVar("T")

FEW = 2000
"""Files that are read without a word."""

LINE_SECONDS = 20.0
"""Seconds between two lines where there is no terminal."""


def with_progress(items: Sequence[T], work: str, console: Console | None = None) -> Iterator[T]:
    """Yield items, and show how many of them have been taken.

    Args:
        items: such as files.
        work: what is done with them, such as ``reading images``.
        console: to show it on; by default standard error.
    """
    console = console or Console(stderr=True, soft_wrap=True, markup=False)
    if len(items) <= FEW or not is_main_process():
        yield from items
    elif console.is_terminal:
        yield from track(items, work, console=console, transient=True)
    else:
        began = printed = time.monotonic()
        for done, item in enumerate(items):
            now = time.monotonic()
            if now - printed > LINE_SECONDS:
                left = (now - began) / done * (len(items) - done)
                console.print(f"{work}: {done:,} of {len(items):,}, about {left:.0f} s left", highlight=False)
                printed = now
            yield item
