"""Standard output and error of a script: a terminal that is gone, a full disk or a closed pipe do not end a run."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class _Lossy(io.FileIO):
    """A file descriptor that forgets what it cannot write."""

    def write(self, data: Any, /) -> int:
        """Write what can be written; return the number of all bytes."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _lossy(stream: TextIO | None, original: TextIO | None) -> TextIO | None:
    """Return a stream that writes where another does, loses what cannot be written and escapes what cannot be encoded.

    A stream that is not the process's own (of a test that captures it) is returned as it is.
    """
    if stream is None or stream is not original or not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = _Lossy(stream.fileno(), "w", closefd=False)
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer, encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.line_buffering
    )


def make_lossy() -> None:
    """Let the process's output lose what cannot be written; descriptors that are closed lead to the null device."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = _lossy(sys.stdout, sys.__stdout__)  # type: ignore[assignment]
    sys.stderr = _lossy(sys.stderr, sys.__stderr__)  # type: ignore[assignment]


@contextmanager
def interrupts() -> Iterator[None]:
    """Let Ctrl-C raise ``KeyboardInterrupt`` within the block, in a script that it ends silently before the block.

    A script sets ``SIG_DFL`` before its imports, which take seconds; after the block Ctrl-C is ignored, as all is
    written then. In any other process nothing is changed.
    """
    ended_silently = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    if ended_silently:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ended_silently:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
