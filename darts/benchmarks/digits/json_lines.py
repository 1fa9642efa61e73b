"""Files of JSON objects, one a line, that are appended to while results come, and continued after any interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from darts.artifacts.file_lock import NoFileLocks, give_back, take
from darts.errors import UserError


def complete_lines(path: Path) -> list[bytes]:
    """Return the lines of a file without one that a killed process has cut short; none where there is no file.

    Raises:
        UserError: where it cannot be read, or ends with what is no beginning of an object.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    lines, _, rest = content.rpartition(b"\n")
    if rest and not rest.startswith(b"{"):
        raise UserError(f"{path}: not a file of JSON lines; give another file")
    return [line + b"\n" for line in lines.split(b"\n")] if len(content) > len(rest) else []


class LinesWriter:
    """Appends to a file, from which a line that was cut short is removed first.

    The file is locked meanwhile: of two processes that were started together, one writes.

    Args:
        path: of the file, in a folder that is made where it is not there.

    Raises:
        UserError: where another process is writing to it.
    """

    def __init__(self, path: Path):
        self._lock_path, self._lock = path.with_name(f".{path.name}.lock"), None
        with suppress(NoFileLocks):
            self._lock = take(self._lock_path, wait=False)
            if self._lock is None:
                raise UserError(f"{path} is in use by a running process; wait for it, or give another file")
        complete = sum(map(len, complete_lines(path)))
        self._file = open(path, "ab")
        self._file.truncate(complete)

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Append objects."""
        self._file.write(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))
        self._file.flush()

    def close(self) -> None:
        """Wait until the file is on the disk, and close it."""
        os.fsync(self._file.fileno())
        self._file.close()
        if self._lock is not None:
            give_back(self._lock_path, self._lock)
