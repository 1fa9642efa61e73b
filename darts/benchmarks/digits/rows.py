"""The file of trainings while the benchmark is built: a JSON object on each line, appended as trainings end.

A line that begins a session says with which protocol and on which machine the lines after it were made. What a killed
process has left of its last line is removed when the file is continued.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from darts.benchmarks.digits.training import Protocol, Training
from darts.errors import UserError

Row = tuple[str, int]
"""Architecture string and seed."""


class OtherProtocol(Exception):
    """A session with another protocol."""


@dataclass
class Rows:
    """The trainings of a file.

    Attributes:
        found: (architecture, seed) -> its training.
        machines: (architecture, seed) -> index in ``sessions``.
        sessions: protocol and machine of each session, without repeats.
        complete: bytes of the file up to the end of its last complete line.
    """

    found: dict[Row, Training] = field(default_factory=dict)
    machines: dict[Row, int] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    complete: int = 0


def session(protocol: Protocol, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the first line of a session says."""
    made: dict[str, Any] = json.loads(json.dumps({"protocol": asdict(protocol), "machine": dict(machine)}))
    return made


def read_rows(path: Path, protocol: Protocol) -> Rows:
    """Return the trainings of a file; none where there is no file.

    Raises:
        UserError: where it is no such file, or was made with another protocol.
    """
    rows = Rows()
    if not path.exists():
        return rows
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        try:
            _take(rows, json.loads(line), protocol)
        except OtherProtocol:
            raise UserError(f"{path}: line {number}: made with another protocol; give another file") from None
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            reason = "not a line of the digits benchmark's build"
            raise UserError(f"{path}: line {number}: {reason}; give another file") from None
        rows.complete += len(line)
    return rows


def _take(rows: Rows, line: dict[str, Any], protocol: Protocol) -> None:
    """Add a line to the rows."""
    if "protocol" in line:
        if line["protocol"] != session(protocol, {})["protocol"]:
            raise OtherProtocol
        if line in rows.sessions:
            rows.sessions.remove(line)
        rows.sessions.append(line)
        return
    row = str(line["architecture"]), int(line["seed"])
    series = {name: tuple(line[name]) for name in ("valid_correct", "valid_loss", "test_correct", "test_loss")}
    if any(len(values) != protocol.epochs for values in series.values()):
        raise ValueError(row)
    rows.found[row] = Training(float(line["seconds"]), float(line["evaluation_seconds"]), **series)
    rows.machines[row] = len(rows.sessions) - 1


class RowsWriter:
    """Appends trainings to a file, of which what is not complete is removed.

    Args:
        path: of the file.
        rows: that it holds.
        begun: this session's first line (``session``).
    """

    def __init__(self, path: Path, rows: Rows, begun: Mapping[str, Any]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "ab")
        self._file.truncate(rows.complete)
        self._write(begun)

    def write(self, row: Row, training: Training) -> None:
        """Append one training."""
        architecture, seed = row
        self._write({"architecture": architecture, "seed": seed, **asdict(training)})

    def close(self) -> None:
        """Flush to the disk and close."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
