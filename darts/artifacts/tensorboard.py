"""A run in TensorBoard: curves, heat maps of the gates, pictures of the cells, configuration, results.

Events are written by this process itself, not by a thread: what goes wrong is seen where it happens. TensorBoard is an
extra: where its files cannot be written, the run continues without.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from darts.artifacts.gate_heatmaps import gate_image
from darts.config import flat
from genotypes import GenotypeError, from_text
from genotypes.draw.png import image

FOLDER = "tensorboard"
RESULTS = ".results"
"""Ends the name of the file of a finished run's results, which is written anew each time."""


class EventFile:
    """A file of TensorBoard's events, which is made by the first event.

    Args:
        folder: of the run.
        purge_step: events of older files from this step on are hidden; None hides none.
        suffix: of the file's name.
        listener: called with a message when writing fails; nothing is written from then on.
    """

    def __init__(
        self, folder: Path, purge_step: int | None, suffix: str = "", listener: Callable[[str], None] = lambda _: None
    ):
        self.folder, self.suffix, self.listener = folder / FOLDER, suffix, listener
        self.purge_step, self._failed = purge_step, False
        self._file: BinaryIO | None = None

    def write(self, summary: Any, step: int) -> None:
        """Write a summary, as ``torch.utils.tensorboard.summary`` makes it."""
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _write(self, event: Any) -> None:
        if self._failed:
            return
        try:
            file = self._open() if self._file is None else self._file
            _record(file, event)
            file.flush()
        except OSError as error:
            self._failed = True
            self.listener(f"{self.folder}: {error.strerror or error}; continues without TensorBoard")
            self.close()

    def _open(self) -> BinaryIO:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}{self.suffix}"
        self._file = file = open(self.folder / name, "wb")
        _record(file, Event(wall_time=time.time(), file_version="brain.Event:2"))
        if self.purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            _record(file, Event(wall_time=time.time(), step=self.purge_step, session_log=start))
        return file


def _record(file: BinaryIO, event: Any) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    RecordWriter(file).write(event.SerializeToString())


class TensorBoardLog:
    """The curves and pictures of a run.

    Args:
        folder: of the run; its ``config.json``, where there is one, is shown as text.
        step: at which the run starts or resumes; later events, which will be written again, are hidden.
        listener: called with a message when the events cannot be written.
    """

    def __init__(self, folder: Path, step: int, listener: Callable[[str], None] = lambda message: None):
        again = any((folder / FOLDER).glob("events.out.tfevents.*"))
        self._events = EventFile(folder, (step + 1 if step else 0) if again else None, listener=listener)
        self._drawn = ""
        config = folder / "config.json"
        if not step and config.exists():
            from torch.utils.tensorboard.summary import text

            content = config.read_text(encoding="utf-8", errors="replace")
            shown = "\n".join("    " + line for line in content.splitlines())
            self._events.write(text("configuration", shown), 0)

    def write(self, event: str, figures: Mapping[str, Any], step: int) -> None:
        """Write numbers as curves; ``gates`` (see ``gates_to_json``) and ``genotype`` as pictures."""
        from torch.utils.tensorboard.summary import scalar

        for name, value in flat(figures).items():
            if isinstance(value, int | float) and not name.startswith("gates."):
                self._events.write(scalar(f"{event}/{name.replace('.', '/')}", value), step)
        for label, table in figures.get("gates", {}).items():
            self._picture(f"gates/{label}", gate_image(table["candidates"], table["rows"]), step)
        self._draw(figures.get("genotype", ""), step)

    def close(self) -> None:
        """Close the file."""
        self._events.close()

    def _draw(self, text: str, step: int) -> None:
        """Write the picture of the cells, where they have changed; a genotype without cells has none."""
        if text and text != self._drawn:
            self._drawn = text
            try:
                picture = image(from_text(text), scale=1.5)
            except GenotypeError:
                return
            self._picture("architecture", np.asarray(picture), step)

    def _picture(self, tag: str, picture: np.ndarray, step: int) -> None:
        from torch.utils.tensorboard.summary import image as image_summary

        self._events.write(image_summary(tag, picture, dataformats="HWC"), step)


def write_results(folder: Path) -> None:
    """Write a finished run's configuration and final figures, for TensorBoard's table of hyperparameters."""
    from torch.utils.tensorboard.summary import hparams, scalar

    config, figures = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "metrics"))
    chosen = {name: value if _is_number(value) else _text(value) for name, value in flat(config["config"]).items()}
    results = {f"final/{name}": value for name, value in figures.items() if isinstance(value, int | float)}
    for earlier in (folder / FOLDER).glob(f"events.out.tfevents.*{RESULTS}"):
        with suppress(OSError):
            earlier.unlink()
    events = EventFile(folder, None, RESULTS)
    for summary in hparams(chosen, results):
        events.write(summary, 0)
    for name, value in results.items():
        events.write(scalar(name, value), 0)
    events.close()


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _text(value: Any) -> str:
    """A value as text that UTF-8 can encode: bytes of a path that are not UTF-8 are written as escapes."""
    return str(value).encode(errors="backslashreplace").decode()
