"""A run's record: JSON lines and TensorBoard events.

One JSON object a line in ``log.jsonl``: what happened (``event``), where (``epoch``, ``step``), the figures, and
``seconds`` that the run has taken, added up over interruptions. An epoch's line also has its ``usage`` of the machine.
Two runs of equal numbers differ in ``seconds`` and ``usage`` alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts.artifacts.checkpoint import write_atomically
from darts.artifacts.resource_usage import usage
from darts.artifacts.tensorboard import Board


class RunLog:
    """The files ``log.jsonl`` and ``tensorboard/`` in a run's folder.

    Args:
        folder: of the run.
        epoch, step: where the run starts or resumes; what was logged beyond is dropped, as it will be computed again.

    Attributes:
        seconds: what the run had taken when its last kept line was written.
    """

    def __init__(self, folder: Path, epoch: int, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "log.jsonl"
        kept = [line for line in (read_log(folder) if path.exists() else []) if _before(line, epoch, step)]
        write_atomically(path, b"".join(map(_encode, kept)))
        self.seconds: float = kept[-1]["seconds"] if kept else 0.0
        self._file = open(path, "ab")
        self.board = Board(folder, step)
        self._energy = usage().get("energy_j")

    def write(self, event: str, figures: Mapping[str, Any], epoch: int, step: int, seconds: float) -> None:
        """Add a line, and what can be shown of it to TensorBoard."""
        if event == "epoch":
            figures = {**figures, "usage": self._usage()}
        line = {"event": event, "epoch": epoch, "step": step, **figures, "seconds": round(seconds, 3)}
        self._file.write(_encode(line))
        self._file.flush()
        self.board.write(event, figures, step)

    def _usage(self) -> dict[str, float]:
        """Peak memory so far; the energy since the last epoch's end or, after an interruption, since the restart."""
        figures = usage()
        if self._energy is not None and "energy_j" in figures:
            figures["energy_j"], self._energy = figures["energy_j"] - self._energy, figures["energy_j"]
        return figures

    def flush_to_disk(self) -> None:
        """Wait until the log is on the disk: a checkpoint that is written next never knows more than the log."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files."""
        self.board.close()
        self._file.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """All lines of a run's log; a line that was cut short is left out."""
    lines = []
    for line in (folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return lines


def _before(line: dict[str, Any], epoch: int, step: int) -> bool:
    return line["epoch"] < epoch if line["event"] == "epoch" else line["step"] <= step


def _encode(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"
