"""What a run shows and hears while it trains: its clock, its bar, signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Clock:
    """The time a run takes, over interruptions; and whether enough is left of what it was given.

    Args:
        before: seconds that the run had taken when this process took it up.
        step: where it took it up.
        limit: seconds that this process may take, or ``None``.
    """

    def __init__(self, before: float, step: int, limit: float | None = None):
        self._began = self._saved = time.monotonic()
        self._before, self._first, self._limit = before, step, limit
        self._longest_save = self._longest_evaluation = 0.0

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    @property
    def since_saved(self) -> float:
        return time.monotonic() - self._saved

    def saved(self, seconds: float) -> None:
        """Note that a checkpoint was written, and how long it took."""
        self._saved = time.monotonic()
        self._longest_save = max(self._longest_save, seconds)

    def evaluated(self, seconds: float) -> None:
        """Note how long an evaluation took."""
        self._longest_evaluation = max(self._longest_evaluation, seconds)

    def late(self, step: int, evaluation_steps: int) -> bool:
        """Whether to end now, so that a checkpoint and an evaluation still fit into the time.

        As long as no evaluation was seen, each of its batches is taken to last as long as a step.
        """
        if self._limit is None:
            return False
        pace = self._pace(step)
        evaluation = self._longest_evaluation or pace * evaluation_steps
        reserve = 2 * pace + 2 * self._longest_save + 1.2 * evaluation
        return time.monotonic() - self._began + reserve > self._limit

    def report(self, step: int, last: int) -> str:
        """What it took, and what is left at this process's pace."""
        return f"{_duration(self.seconds)}, {_duration(self._pace(step) * (last - step))} left"

    def _pace(self, step: int) -> float:
        return (time.monotonic() - self._began) / max(step - self._first, 1)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class Signals:
    """Notes SIGINT and SIGTERM, so that the step at work is finished first; a second one ends at once."""

    received = 0

    def __enter__(self) -> Signals:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        for each, handler in self._before.items():
            signal.signal(each, handler)


def progress_bar(console: Console) -> Progress:
    """A bar with steps, figures, elapsed and remaining time; gone when it ends."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}")
    times = TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    return Progress(*columns, *times, console=console, transient=True)


def pluralize(count: int, thing: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def progress_line(figures: Mapping[str, Any]) -> str:
    """What is worth a look while it runs: the training loss, accuracies and perplexities."""
    shown = [f"train loss {figures['train_loss']:.4f}"]
    shown += [f"{k.replace('_', ' ')} {100 * v:.2f} %" for k, v in figures.items() if k.endswith("accuracy")]
    shown += [f"{k.replace('_', ' ')} {v:.2f}" for k, v in figures.items() if k.endswith("perplexity")]
    return "  ".join(shown)
