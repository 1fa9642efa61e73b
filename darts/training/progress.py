"""Progress bar, clock and signals of a run."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from darts.training.objective import SHARES

WARM_UP_STEPS, MEASURED_STEPS = 3, 10
"""Steps of a process before the measured ones, and the measured ones, that estimate the time left."""

MEASURED_SECONDS = 60.0
"""Seconds after which fewer steps have to do for that estimate."""

LONG = 600.0
"""Seconds from which on a run is announced to take long."""

SEARCHING = "while it searched; the trials that are complete are saved"
TRAINED = "while the results were written; the training is done and saved"
"""Where a run stands whose last step is done, for ``stopped_message``."""

LINE_SECONDS = 20.0
"""Seconds after which output that is no terminal, and shows no progress bar, gets a line of progress."""


class Clock:
    """The time of a run, added up over interruptions, and its limit.

    Args:
        before: seconds that the run had taken when this process resumed it.
        step: at which this process started.
        limit: seconds that this process may take, or ``None``.
    """

    def __init__(self, before: float, step: int, limit: float | None = None):
        self._began = self._saved = time.monotonic()
        self._before, self._first, self._limit = before, step, limit
        self._longest_save = self._longest_evaluation = 0.0
        self._warm = self._began
        self._estimated = False

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken."""
        return self._before + time.monotonic() - self._began

    @property
    def since_saved(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self._saved

    def saved(self, seconds: float) -> None:
        """Note that a checkpoint was written, and how long it took."""
        self._saved = time.monotonic()
        self._longest_save = max(self._longest_save, seconds)

    def evaluated(self, seconds: float) -> None:
        """Note how long an evaluation took."""
        self._longest_evaluation = max(self._longest_evaluation, seconds)

    def late(self, step: int, evaluation_steps: int) -> bool:
        """Return whether to stop now, so that a checkpoint and an evaluation still fit into the time.

        Before the first evaluation, each of its batches is assumed to last as long as a step.
        """
        if self._limit is None:
            return False
        step_seconds = self._step_seconds(step)
        evaluation = self._longest_evaluation or step_seconds * evaluation_steps
        reserve = 2 * step_seconds + 2 * self._longest_save + 1.2 * evaluation
        return time.monotonic() - self._began + reserve > self._limit

    def report(self, step: int, last: int) -> str:
        """Return the time so far, and what is left at the speed of this process, as text."""
        return f"{duration(self.seconds)}, {duration(self._step_seconds(step) * (last - step))} left"

    def estimate(self, step: int, last: int) -> str | None:
        """Return the time that is left, as text, once: after the first steps, where it is longer than ``LONG``.

        The very first steps are not measured: memory is allocated and kernels are compiled in them.
        """
        done, now = step - self._first - WARM_UP_STEPS, time.monotonic()
        if done == 0:
            self._warm = now
        if self._estimated or done < 1 or (done < MEASURED_STEPS and now - self._warm < MEASURED_SECONDS):
            return None
        self._estimated = True
        left = (now - self._warm) / done * (last - step)
        return duration(left) if left > LONG else None

    def _step_seconds(self, step: int) -> float:
        return (time.monotonic() - self._began) / max(step - self._first, 1)


def duration(seconds: float) -> str:
    """Return ``2:05``, or ``1:02:05`` from an hour on."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class Signals:
    """Records SIGINT and SIGTERM, so that the current step is finished first; a second signal ends the process at once.

    Only the main thread receives signals: in another thread nothing is recorded.

    Attributes:
        received: number of the signal; 0 for none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        for each, handler in self._before.items():
            signal.signal(each, handler)


class LineTimer:
    """Tells when output that is no terminal has to get a line, so that a log file shows that a run is alive.

    Args:
        console: that the lines are printed to.
    """

    def __init__(self, console: Console):
        self._silent = console.is_terminal
        self._printed = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for a line."""
        return not self._silent and time.monotonic() - self._printed > LINE_SECONDS

    def printed(self) -> None:
        """Note that a line was printed."""
        self._printed = time.monotonic()


def stopped_message(where: str) -> str:
    """Return the line that says where a run was stopped, and the command that resumes it."""
    command = shlex.join(["python", *sys.argv, *([] if "--resume" in sys.argv else ["--resume"])])
    return f"stopped {where}. Resume with: {command}"


def progress_bar(console: Console) -> Progress:
    """Return a bar with steps, figures, elapsed and remaining time, on a terminal; it disappears at its end."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}")
    times = TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    return Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal)


def pluralize(count: int, thing: str) -> str:
    """Return ``1 epoch``, ``2 epochs``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def progress_line(figures: Mapping[str, Any]) -> str:
    """Return the training loss, accuracies and other shares, and perplexities, for the terminal."""
    shown = [f"train loss {figures['train_loss']:.4f}"]
    shown += [f"{k.replace('_', ' ')} {100 * v:.2f} %" for k, v in figures.items() if k.endswith(SHARES)]
    shown += [f"{k.replace('_', ' ')} {v:.2f}" for k, v in figures.items() if k.endswith("perplexity")]
    return "  ".join(shown)
