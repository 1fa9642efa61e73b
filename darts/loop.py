"""The one training loop: steps, epochs, checkpoints, progress, a clean end at any moment.

A task (``darts.search``, ``darts.retrain``) knows what a step is and what its state is. The loop knows when to report,
when to save, and where to go on. What a run computes depends on its configuration alone, not on how often it was
interrupted.
"""

from __future__ import annotations

import math
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from darts.checkpoint import CheckpointError, differing, load, newest_first, path_of, save
from darts.config import RunConfig
from darts.errors import UserError
from darts.evaluate import Tell
from darts.log import RunLog
from darts.runs import CHECKPOINTS


class Task(Protocol):
    """What is trained."""

    kind: str
    epochs: int
    steps_per_epoch: int

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Get ready to go on at this step of this epoch."""

    def step(self) -> Mapping[str, Tensor]:
        """One step. Sums over the batch, scalars on the device; ``images`` counts the examples."""

    def end_epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        """Evaluate. The figures go to the log; those that are numbers, to the curves."""

    def state(self) -> dict[str, Any]:
        """All that the next step depends on: tensors and plain values."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to that state."""


class Interrupted(Exception):
    """The run was stopped by a signal, after a checkpoint. ``code`` is the exit code that says so."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Diverged(UserError):
    """The loss is no number."""


def train(task: Task, run: RunConfig, folder: Path, identity: Mapping[str, Any], console: Console) -> None:
    """Train a task to its end, or to ``run.max_steps``.

    Args:
        task: in its initial state.
        folder: of the run; gets ``checkpoints/``, ``log.jsonl``, ``tensorboard/``.
        identity: what a checkpoint must have been made with to be gone on from.

    Raises:
        Interrupted: after SIGINT or SIGTERM; the state is saved.
        Diverged: where the loss is no finite number; the last checkpoint is from before.
        CheckpointError: where checkpoints exist and none can be gone on from.
    """
    checkpoints = folder / CHECKPOINTS
    position = _resume(task, checkpoints, identity, console) if run.resume else _Position()
    total = task.epochs * task.steps_per_epoch
    last = min(total, run.max_steps or total)
    with ExitStack() as stack:
        log = RunLog(folder, position.epoch, position.step)
        stack.callback(log.close)
        signals = stack.enter_context(_Signals())
        bar = stack.enter_context(_progress(console))
        shown = bar.add_task(task.kind, total=last, completed=position.step, figures="")
        clock = _Clock(log.seconds, position.step)

        def checkpoint(epoch: int, within: int) -> None:
            position.epoch, position.within = epoch, within
            state = {"kind": task.kind, "identity": dict(identity), "position": position.state(), "task": task.state()}
            save(path_of(checkpoints, position.step), state)
            for old in newest_first(checkpoints)[run.keep_checkpoints :]:
                old.unlink()
            clock.saved()

        def tell(done: int, examples: int) -> None:
            bar.update(shown, figures=f"evaluating {100 * done // examples} %")

        while position.epoch < task.epochs and (position.step < last or position.within):
            epoch = position.epoch
            task.begin_epoch(epoch, position.within)
            for within in range(position.within + 1, task.steps_per_epoch + 1):
                if position.step >= last:
                    break
                position.add(task.step())
                bar.update(shown, completed=position.step)
                report = position.step % run.report_every == 0
                due = position.step == last < total or clock.since_saved > 60 * run.checkpoint_minutes
                if report or due or signals.received:
                    figures = _finite(position.means(), position.step, checkpoints)
                    bar.update(shown, figures=_short(figures))
                    if report:
                        log.write("step", figures, epoch, position.step, clock.seconds)
                if due or signals.received:
                    checkpoint(epoch, within)
                if signals.received:
                    raise Interrupted(_stopped(epoch, within), 128 + signals.received)
            figures = _finite(position.means(), position.step, checkpoints) | task.end_epoch(epoch, tell)
            log.write("epoch", figures, epoch, position.step, clock.seconds)
            line = f"epoch {epoch + 1:>3}/{task.epochs}  {_short(figures)}  {clock.report(position.step, last)}"
            console.print(line, highlight=False)
            if "warning" in figures:
                console.print(figures["warning"], style="yellow", highlight=False)
            if last <= position.step < total:
                break  # cut short: the checkpoint stays in the middle of the epoch, to go on from
            position.sums.clear()
            checkpoint(epoch + 1, 0)


class _Clock:
    """The time a run takes, over interruptions."""

    def __init__(self, before: float, step: int):
        self._began = self._saved = time.monotonic()
        self._before, self._first = before, step

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    @property
    def since_saved(self) -> float:
        return time.monotonic() - self._saved

    def saved(self) -> None:
        self._saved = time.monotonic()

    def report(self, step: int, last: int) -> str:
        """What it took, and what is left at this process's pace."""
        left = (time.monotonic() - self._began) / max(step - self._first, 1) * (last - step)
        return f"{_duration(self.seconds)}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class _Position:
    """Where a run stands: its epoch, step within it, step in all, running sums of this epoch."""

    def __init__(self) -> None:
        self.epoch = self.within = self.step = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, sums: Mapping[str, Tensor]) -> None:
        for name, value in sums.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        self.step += 1

    def means(self) -> dict[str, float]:
        """The figures of this epoch so far, for each image."""
        totals = {name: value.item() for name, value in self.sums.items()}
        images = totals.pop("images")
        return {f"train_{name}": value / images for name, value in totals.items()}

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def load(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)


def _resume(task: Task, folder: Path, identity: Mapping[str, Any], console: Console) -> _Position:
    position = _Position()
    paths = newest_first(folder)
    for path in paths:
        try:
            state = load(path)
            reason = differing(state, task.kind, identity)
            if reason:
                raise CheckpointError(f"{path}: another run's checkpoint, {reason}")
        except CheckpointError as error:
            console.print(f"refused: {error}", style="yellow", highlight=False)
            continue
        task.load_state(state["task"])
        position.load(state["position"])
        console.print(f"going on from {path}: epoch {position.epoch + 1}, step {position.step}", highlight=False)
        return position
    if paths:
        raise CheckpointError(f"{folder}: no checkpoint can be gone on from; start anew under another --name")
    return position


class _Signals:
    """Notes SIGINT and SIGTERM, so that the step at work is finished first; a second one ends at once."""

    received = 0

    def __enter__(self) -> _Signals:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        for each, handler in self._before.items():
            signal.signal(each, handler)


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}")
    times = TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    return Progress(*columns, *times, console=console, transient=True)


def _finite(figures: dict[str, float], step: int, checkpoints: Path) -> dict[str, float]:
    for name, value in figures.items():
        if not math.isfinite(value):
            good = next(iter(newest_first(checkpoints)), "none")
            raise Diverged(f"{name} is {value} at step {step}; lower --weights.lr. Last good checkpoint: {good}")
    return figures


def _short(figures: Mapping[str, Any]) -> str:
    """What is worth a look while it runs: the training loss, and accuracies."""
    shown = [f"train loss {figures['train_loss']:.4f}"]
    shown += [f"{k.replace('_', ' ')} {100 * v:.2f} %" for k, v in figures.items() if k.endswith("accuracy")]
    return "  ".join(shown)


def _stopped(epoch: int, within: int) -> str:
    command = shlex.join(["python", *sys.argv, *([] if "--resume" in sys.argv else ["--resume"])])
    return f"stopped in epoch {epoch + 1} after step {within}; all is saved. Go on with: {command}"
