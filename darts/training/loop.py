"""The training loop: steps, epochs, checkpoints, progress, a clean end at any moment.

A task (``darts.oneshot.task``, ``darts.retraining.task``) defines a step and its state. The loop decides when to
report, to save, to roll back, and where to resume. What a run computes depends on its configuration alone, not on how
often it was interrupted.

Under torchrun every rank runs the same loop: sums are added up over the ranks where they are read, and decisions that
depend on clocks or signals are agreed on after each step.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from darts.artifacts.log import STOPPED, RunLog
from darts.artifacts.run_folder import CHECKPOINTS, clear_temporary_files
from darts.config import RunConfig
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks, restarted
from darts.training.position import MAX_ROLLBACKS, Position
from darts.training.progress import (
    TRAINED,
    Clock,
    LineTimer,
    Signals,
    pluralize,
    progress_bar,
    progress_line,
    stopped_message,
)
from darts.training.run_checkpoints import RunCheckpoints, holds_nan
from darts.training.state_form import check_form
from darts.training.task import Task
from darts.training.threads import Threads


class Interrupted(Exception):
    """The run was stopped by a signal.

    Attributes:
        code: the exit code of the process, 128 plus the signal's number.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Diverged(UserError):
    """The loss or a weight is not finite."""


def train(
    task: Task,
    run: RunConfig,
    folder: Path,
    identity: Mapping[str, Any],
    console: Console,
    ranks: Ranks = SINGLE_PROCESS,
    begun: Callable[[], None] = lambda: None,
    verbose: bool = True,
) -> None:
    """Train a task to its end, to ``run.max_steps`` or to ``run.max_hours``.

    Args:
        task: in its initial state.
        folder: of the run; gets ``checkpoints/``, ``log.jsonl``, ``tensorboard/``.
        identity: what determines the results; a checkpoint with another identity is not resumed.
        ranks: those that train it together; rank 0 writes and prints.
        begun: called when it is certain that the run can start or resume, before anything of it is written.
        verbose: whether to print each epoch. In any case a terminal shows the progress, and other output, such as a log
            file, gets a line every ``LINE_SECONDS`` at least.

    Raises:
        Interrupted: after SIGINT or SIGTERM; the state is saved, or, during an evaluation, the last checkpoint stands.
        Diverged: where the loss is not finite; the last checkpoint is from before.
        CheckpointError: where checkpoints exist and none can be resumed.
    """
    loop = None
    try:
        with ExitStack() as stack:
            loop = _Loop(task, run, folder, identity, console, ranks, begun, verbose, stack)
            while loop.unfinished:
                try:
                    loop.epoch()
                except Diverged as error:
                    loop.roll_back(error)
    except KeyboardInterrupt:  # a second Ctrl-C, or one after the last step
        if loop is None:
            raise
        raise Interrupted(stopped_message(loop.place), 128 + signal.SIGINT) from None


class _Loop:
    """A run in progress. ``position`` is all that it adds to the state of its task."""

    def __init__(
        self,
        task: Task,
        run: RunConfig,
        folder: Path,
        identity: Mapping[str, Any],
        console: Console,
        ranks: Ranks,
        begun: Callable[[], None],
        verbose: bool,
        stack: ExitStack,
    ):
        self.task, self.run, self.folder, self.console, self.ranks = task, run, folder, console, ranks
        self.checkpoints = RunCheckpoints(
            folder / CHECKPOINTS, kind=task.kind, identity=identity, keep=run.keep_checkpoints
        )
        self.position, self.verbose = Position(), verbose
        self.threads = stack.enter_context(Threads(console if verbose else Console(quiet=True), ranks.count))
        if run.resume or restarted():
            self._restore()
        begun()
        if ranks.rank == 0:
            self.checkpoints.clear_temporary_files()
            clear_temporary_files(folder)
        left = task.epochs - self.position.epoch
        self.total = self.position.epoch_start + left * task.steps_per_epoch
        self.last = min(self.total, run.max_steps or self.total)
        self.over = False
        self.log = self._new_log() if ranks.rank == 0 else None
        stack.callback(self._close_log)
        self.clock = Clock(
            self.log.seconds if self.log else 0.0, self.position.step, run.max_hours and 3600 * run.max_hours
        )
        self.signals = stack.enter_context(Signals())
        self.bar = stack.enter_context(progress_bar(console))
        self.lines = LineTimer(console)
        self.shown = self.bar.add_task(task.kind, total=self.last, completed=self.position.step, figures="")
        if run.on_nan == "rollback" and self.position.step == 0:
            self._checkpoint(0, 0)

    @property
    def unfinished(self) -> bool:
        """Whether there is a step or an evaluation left to do."""
        position = self.position
        left = position.step < self.last or position.within > 0
        return not self.over and position.epoch < self.task.epochs and left

    @property
    def place(self) -> str:
        """Where the run stands, for a message."""
        if self.unfinished:
            return f"at once in epoch {self.position.epoch + 1}; last checkpoint: {self.checkpoints.newest or 'none'}"
        return TRAINED

    def epoch(self) -> None:
        """Train from the position to the end of the epoch, or of the run; then evaluate."""
        task, position = self.task, self.position
        epoch = position.epoch
        self.threads.choose_at_start(task, epoch, position.within, self.total - position.step)
        task.begin_epoch(epoch, position.within)
        for within in range(position.within + 1, task.steps_per_epoch + 1):
            if position.step >= self.last:
                break
            position.add(task.step())
            self.bar.update(self.shown, completed=position.step)
            self._after_step(epoch, within)
        figures = self._finite(position.means(self.ranks)) | self._evaluate(epoch)
        cut = self.last <= position.step < self.total
        if cut:
            figures[STOPPED] = f"after {position.step} of {self.total}"
        self._write("epoch", figures, epoch)
        if self.verbose or self.lines.due:
            self._print_line(epoch, progress_line(figures))
        if "warning" in figures:
            self.console.print(figures["warning"], style="yellow", highlight=False, markup=False)
        if cut:
            self.over = True  # cut short: the checkpoint stays in the middle of the epoch, to resume from
            return
        position.sums.clear()
        self._checkpoint(epoch + 1, 0)

    def _after_step(self, epoch: int, within: int) -> None:
        """Report, save and stop, where it is time to."""
        position, run = self.position, self.run
        position.within = within
        if left := self.clock.estimate(position.step, self.last):
            work = f"{pluralize(self.task.epochs - epoch, 'epoch')} of {pluralize(self.task.steps_per_epoch, 'step')}"
            self.console.print(f"about {left} left for {work}; set epochs or max_hours to end earlier", highlight=False)
        over_time = self.clock.late(position.step, self.task.evaluation_steps)
        old = self.clock.since_saved > 60 * run.checkpoint_minutes
        silence = self.ranks.rank == 0 and self.lines.due
        stop, late, aged, silent = self.ranks.all_reduce_max((self.signals.received, over_time, old, silence))
        if late and position.step < self.last:
            self.last = position.step
            given = f"--max-hours {run.max_hours:g}"
            self.console.print(f"{given}: stops after step {position.step}; --resume continues", highlight=False)
        report = position.step % run.report_every == 0
        due = position.step == self.last < self.total or aged or self._other_threads(epoch, within)
        if report or due or stop or silent:
            figures = self._finite(position.means(self.ranks))
            self.bar.update(self.shown, figures=progress_line(figures))
            if silent:
                self._print_line(epoch, f"step {within}/{self.task.steps_per_epoch}  {progress_line(figures)}")
            if report:
                self._write("step", figures, epoch)
        if due or stop:
            self._checkpoint(epoch, within)
        if stop:
            raise Interrupted(
                stopped_message(f"in epoch {epoch + 1} after step {within}; the state is saved"), 128 + stop
            )

    def _other_threads(self, epoch: int, within: int) -> bool:
        """Choose the number of threads again where steps have become slow; return whether it has changed."""
        if not self.threads.slow() or within >= self.task.steps_per_epoch:
            return False
        changed = self.threads.choose(self.task, epoch, within)
        self.task.begin_epoch(epoch, within)
        return changed

    def roll_back(self, error: Diverged) -> None:
        """Resume from the start of the epoch with another order and half the learning rate, or give up.

        A run that was interrupted within the epoch goes back to the same step as one that was not.
        """
        attempt = self.position.attempt + 1
        if self.run.on_nan != "rollback":
            raise error
        if attempt > MAX_ROLLBACKS:
            raise Diverged(f"{error}; gave up after {MAX_ROLLBACKS} rollbacks")
        if not self._restore(self.position.epoch_start):
            raise error
        self.position.attempt = self.task.attempt = attempt
        if self.log:
            self.log.close()
            self.log = self._new_log()
        reason = str(error).partition(";")[0]
        rolled = f"rolled back to step {self.position.step}, learning rate x {0.5**attempt:g}"
        self.console.print(f"{reason}: {rolled}", highlight=False, markup=False)
        self.bar.update(self.shown, completed=self.position.step)

    def _evaluate(self, epoch: int) -> dict[str, Any]:
        self.ranks.check_equal(self.task.replicas())

        def report(done: int, batches: int) -> None:
            stop = self.signals.received
            if stop and self.ranks.count == 1:
                saved = self.checkpoints.newest or "none"
                place = f"during the evaluation of epoch {epoch + 1}; last checkpoint: {saved}"
                raise Interrupted(stopped_message(place), 128 + stop)
            evaluated = f"evaluating {100 * done // batches} %"
            self.bar.update(self.shown, figures=evaluated)
            if self.lines.due:
                self._print_line(epoch, evaluated)

        began = time.monotonic()
        figures = self.task.end_epoch(epoch, report)
        self.clock.evaluated(time.monotonic() - began)
        return figures

    def _print_line(self, epoch: int, text: str) -> None:
        done = self.clock.report(self.position.step, self.last)
        line = f"epoch {epoch + 1:>3}/{self.task.epochs}  {text}  {done}"
        self.console.print(line, highlight=False, markup=False)
        self.lines.printed()

    def _close_log(self) -> None:
        if self.log:
            self.log.close()

    def _new_log(self) -> RunLog:
        def warn(message: str) -> None:
            self.console.print(message, style="yellow", highlight=False, markup=False)

        return RunLog(self.folder, self.position.epoch, self.position.step, warn)

    def _write(self, event: str, figures: Mapping[str, Any], epoch: int) -> None:
        if self.log:
            self.log.write(event, figures, epoch, self.position.step, self.clock.seconds)

    def _checkpoint(self, epoch: int, within: int) -> None:
        began = time.monotonic()
        position = self.position
        state = self.task.state()
        if holds_nan(state):
            raise Diverged(f"a weight is nan after step {position.step}; {self._advice()}")
        position.epoch, position.within = epoch, within
        position.gather_sums_on_rank0(self.ranks)
        if self.log:
            self.log.flush_to_disk()
            start = position.epoch_start if self.run.on_nan == "rollback" else None
            content = {"position": position.state(), "threads": self.threads.state(), "task": state}
            self.checkpoints.save(position.step, content, also=start)
        self.clock.saved(time.monotonic() - began)

    def _restore(self, step: int | None = None) -> bool:
        """Resume from the newest checkpoint that can be loaded, from that of ``step`` where it is there.

        Returns:
            False where there is no checkpoint.
        """

        def apply(state: Mapping[str, Any]) -> None:
            self.position.load(state["position"], self.ranks, self.task.epochs)
            self.threads.load_state(state.get("threads"))
            check_form(self.task.state(), state["task"], "task")
            self.task.load_state(state["task"])
            self.task.attempt = self.position.attempt

        path = self.checkpoints.restore(apply, self.console, step)
        self.ranks.check_equal({"the checkpoint to resume from": torch.tensor(self.position.step)})
        if path is None:
            return False
        place = f"epoch {self.position.epoch + 1}, step {self.position.step}"
        if self.verbose:
            self.console.print(f"resumes from {path}: {place}", highlight=False, markup=False)
        if self.ranks.rank == 0:
            self.checkpoints.discard_later(path)
        return True

    def _finite(self, figures: dict[str, float]) -> dict[str, float]:
        for name, value in figures.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {self.position.step}; {self._advice()}")
        return figures

    def _advice(self) -> str:
        good = self.checkpoints.newest or "none"
        return f"lower `weights.lr`, or set `run.on_nan` rollback. Last good checkpoint: {good}"
