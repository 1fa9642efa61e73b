"""A run's record: JSON lines and TensorBoard events.

``log.jsonl`` has one JSON object a line: what happened (``event``), where (``epoch``, ``step``), the figures, and
``seconds`` that the run has taken, added up over interruptions. An epoch's line also has its ``usage`` of the machine;
where a limit of steps or of time has stopped the run in its middle, it has ``stopped``. Two runs with equal results
differ in ``seconds`` and ``usage`` alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from darts.artifacts.resource_usage import usage
from darts.artifacts.tensorboard import TensorBoardLog
from genotypes.atomic_write import write_atomically

EVENTS = ("step", "epoch")
LOG = "log.jsonl"

STOPPED = "stopped"
"""Entry of the last epoch's line where a run has stopped in the middle of it, at a limit of steps or of time."""

MAX_SECONDS = 1e12
"""A time from here on, or none that can be compared with it (NaN), is no time of a run."""


class RunLog:
    """The files ``log.jsonl`` and ``tensorboard/`` in a run's folder.

    Args:
        folder: of the run.
        epoch, step: where the run starts or resumes; what was logged beyond is dropped, as it will be computed again.
        listener: called with a message when TensorBoard's files cannot be written.

    Attributes:
        seconds: that the run had taken when its last kept line was written.
    """

    def __init__(self, folder: Path, epoch: int, step: int, listener: Callable[[str], None] = lambda message: None):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOG
        found = [line for line in (read_log(folder) if path.exists() else []) if _before(line, epoch, step)]
        kept = list({(line["event"], line["epoch"], line["step"]): line for line in found}.values())
        write_atomically(path, b"".join(map(_encode, kept)))
        self.seconds: float = kept[-1]["seconds"] if kept else 0.0
        self._file = open(path, "ab")
        self.tensorboard = TensorBoardLog(folder, step, listener)
        self._energy = usage().get("energy_j")

    def write(self, event: str, figures: Mapping[str, Any], epoch: int, step: int, seconds: float) -> None:
        """Add a line, and what can be shown of it to TensorBoard.

        Raises:
            OSError: where the line cannot be written.
        """
        if event == "epoch":
            figures = {**figures, "usage": self._usage()}
        line = {"event": event, "epoch": epoch, "step": step, **figures, "seconds": round(seconds, 3)}
        self._file.write(_encode(line))
        self._file.flush()
        self.tensorboard.write(event, figures, step)

    def _usage(self) -> dict[str, float]:
        """Return peak memory so far, and the energy since the last epoch's end or, after a resume, since the start."""
        figures = usage()
        if self._energy is not None and "energy_j" in figures:
            figures["energy_j"], self._energy = figures["energy_j"] - self._energy, figures["energy_j"]
        return figures

    def flush_to_disk(self) -> None:
        """Wait until the log is on the disk: a checkpoint that is written next never knows more than the log."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files."""
        self.tensorboard.close()
        self._file.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log; those that were cut short, or that no run has written, are left out."""
    lines = []
    for text in (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if _is_line(line):
            lines.append(line)
    return lines


def _is_line(line: Any) -> bool:
    """Return whether a value is a line as ``RunLog`` writes it."""
    if not isinstance(line, dict) or line.get("event") not in EVENTS:
        return False
    seconds: Any = line.get("seconds")
    counts = all(type(line.get(name)) is int and line[name] >= 0 for name in ("epoch", "step"))
    return counts and type(seconds) in (int, float) and 0 <= seconds < MAX_SECONDS


def _before(line: dict[str, Any], epoch: int, step: int) -> bool:
    """Return whether a line was written before a position."""
    return line["epoch"] < epoch if line["event"] == "epoch" else line["step"] <= step


def _encode(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"
