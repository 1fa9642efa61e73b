"""The file of trainings while the benchmark is built: JSON lines, appended as trainings end.

A heading is the first line that a run of the command appends: the protocol and the machine of the lines after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from darts.benchmarks.digits.json_lines import complete_lines
from darts.benchmarks.digits.training import Protocol, Row, Training
from darts.errors import UserError


class OtherProtocol(Exception):
    """A heading with another protocol."""


@dataclass
class Rows:
    """The trainings of a file.

    Attributes:
        found: (architecture, seed) -> its training.
        machines: (architecture, seed) -> the machine that made it.
        machine: of the last heading.
    """

    found: dict[Row, Training] = field(default_factory=dict)
    machines: dict[Row, dict[str, Any]] = field(default_factory=dict)
    machine: dict[str, Any] | None = None


def heading(protocol: Protocol, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line before the trainings of a protocol on a machine."""
    made: dict[str, Any] = json.loads(json.dumps({"protocol": asdict(protocol), "machine": dict(machine)}))
    return made


def line_of(row: Row, training: Training) -> dict[str, Any]:
    """Return the line of a training."""
    architecture, seed = row
    return {"architecture": architecture, "seed": seed, **asdict(training)}


def read_rows(path: Path, protocol: Protocol) -> Rows:
    """Return the trainings of a file; none where there is no file.

    Raises:
        UserError: where it is no such file, or was made with another protocol.
    """
    rows = Rows()
    for number, line in enumerate(complete_lines(path), 1):
        try:
            _take(rows, json.loads(line), protocol)
        except OtherProtocol:
            raise UserError(f"{path}: line {number}: made with another protocol; give another file") from None
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            reason = "not a line of the digits benchmark's build"
            raise UserError(f"{path}: line {number}: {reason}; give another file") from None
    return rows


def _take(rows: Rows, line: dict[str, Any], protocol: Protocol) -> None:
    """Add a line to the rows."""
    if "protocol" in line:
        if line["protocol"] != heading(protocol, {})["protocol"]:
            raise OtherProtocol
        rows.machine = dict(line["machine"])
        return
    row = str(line["architecture"]), int(line["seed"])
    series = {name: tuple(line[name]) for name in ("valid_correct", "valid_loss", "test_correct", "test_loss")}
    if rows.machine is None or any(len(values) != protocol.epochs for values in series.values()):
        raise ValueError(row)
    rows.found[row] = Training(float(line["seconds"]), float(line["evaluation_seconds"]), **series)
    rows.machines[row] = rows.machine
