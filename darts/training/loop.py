"""The one training loop: steps, epochs, checkpoints, progress, a clean end at any moment.

A task (``darts.search``, ``darts.retrain``) knows what a step is and what its state is. The loop knows when to report,
when to save, when to go back, and where to go on. What a run computes depends on its configuration alone, not on how
often it was interrupted.

Under torchrun every rank runs the same loop: sums are added up over the ranks where they are read, and what depends on
clocks or signals is agreed on after each step.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import Tensor

from darts.artifacts.checkpoint import CheckpointError, differing, load, newest_first, path_of, save
from darts.artifacts.log import RunLog
from darts.artifacts.run_folder import CHECKPOINTS
from darts.config.schema import RunConfig
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from darts.training.evaluate import Tell
from darts.training.progress import Clock, Signals, progress_bar, progress_line

MAX_ROLLBACKS = 3
"""How often a run goes back before it gives up: each time with half the learning rate."""


class Task(Protocol):
    """What is trained.

    Attributes:
        evaluation_steps: batches that ``end_epoch`` evaluates.
        attempt: how often the run went back because its loss was no number. Each time the learning rate of the
            weights is halved, and examples come in another order.
    """

    kind: str
    epochs: int
    steps_per_epoch: int
    evaluation_steps: int
    attempt: int

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Get ready to go on at this step of this epoch."""

    def step(self) -> Mapping[str, Tensor]:
        """One step. Sums over this rank's share of the batch, scalars on the device; ``images`` counts the examples."""

    def end_epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        """Evaluate. The figures go to the log; those that are numbers, to the curves."""

    def replicas(self) -> Mapping[str, Tensor]:
        """Tensors that must be the same on every rank."""

    def state(self) -> dict[str, Any]:
        """All that the next step depends on: tensors and plain values, the same on every rank."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to that state."""


class Interrupted(Exception):
    """The run was stopped by a signal. ``code`` is the exit code that says so."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Diverged(UserError):
    """The loss, or a weight, is no number."""


def train(
    task: Task,
    run: RunConfig,
    folder: Path,
    identity: Mapping[str, Any],
    console: Console,
    ranks: Ranks = SINGLE_PROCESS,
    begun: Callable[[], None] = lambda: None,
) -> None:
    """Train a task to its end, to ``run.max_steps`` or to ``run.max_hours``.

    Args:
        task: in its initial state.
        folder: of the run; gets ``checkpoints/``, ``log.jsonl``, ``tensorboard/``.
        identity: what a checkpoint must have been made with to be gone on from.
        ranks: those that train it together; rank 0 writes and prints.
        begun: called when it is certain that the run can begin or go on, before anything of it is written.

    Raises:
        Interrupted: after SIGINT or SIGTERM; the state is saved, or, while evaluating, as it was saved before.
        Diverged: where the loss is no finite number; the last checkpoint is from before.
        CheckpointError: where checkpoints exist and none can be gone on from.
    """
    with ExitStack() as stack:
        loop = _Loop(task, run, folder, identity, console, ranks, begun, stack)
        while loop.unfinished:
            try:
                loop.epoch()
            except Diverged as error:
                loop.roll_back(error)


class _Loop:
    """A run at work. ``position`` is all that it adds to the state of its task."""

    def __init__(
        self,
        task: Task,
        run: RunConfig,
        folder: Path,
        identity: Mapping[str, Any],
        console: Console,
        ranks: Ranks,
        begun: Callable[[], None],
        stack: ExitStack,
    ):
        self.task, self.run, self.folder, self.console, self.ranks = task, run, folder, console, ranks
        self.identity, self.checkpoints = dict(identity), folder / CHECKPOINTS
        self.position = _Position()
        if run.resume:
            self._go_on()
        begun()
        left = task.epochs - self.position.epoch
        self.total = self.position.step - self.position.within + left * task.steps_per_epoch
        self.last = min(self.total, run.max_steps or self.total)
        self.over = False
        self.log = RunLog(folder, self.position.epoch, self.position.step) if ranks.rank == 0 else None
        stack.callback(lambda: self.log and self.log.close())
        self.clock = Clock(
            self.log.seconds if self.log else 0.0, self.position.step, run.max_hours and 3600 * run.max_hours
        )
        self.signals = stack.enter_context(Signals())
        self.bar = stack.enter_context(progress_bar(console))
        self.shown = self.bar.add_task(task.kind, total=self.last, completed=self.position.step, figures="")
        if run.on_nan == "rollback" and self.position.step == 0:
            self._checkpoint(0, 0)

    @property
    def unfinished(self) -> bool:
        position = self.position
        return not self.over and position.epoch < self.task.epochs and (position.step < self.last or position.within)

    def epoch(self) -> None:
        """From where the run stands to the end of the epoch, or of the run."""
        task, position = self.task, self.position
        epoch = position.epoch
        task.begin_epoch(epoch, position.within)
        for within in range(position.within + 1, task.steps_per_epoch + 1):
            if position.step >= self.last:
                break
            position.add(task.step())
            self.bar.update(self.shown, completed=position.step)
            self._after_step(epoch, within)
        figures = self._finite(position.means(self.ranks)) | self._evaluate(epoch)
        self._write("epoch", figures, epoch)
        done = self.clock.report(position.step, self.last)
        line = f"epoch {epoch + 1:>3}/{task.epochs}  {progress_line(figures)}  {done}"
        self.console.print(line, highlight=False)
        if "warning" in figures:
            self.console.print(figures["warning"], style="yellow", highlight=False)
        if self.last <= position.step < self.total:
            self.over = True  # cut short: the checkpoint stays in the middle of the epoch, to go on from
            return
        position.sums.clear()
        self._checkpoint(epoch + 1, 0)

    def _after_step(self, epoch: int, within: int) -> None:
        """Report, save and stop, where it is time to."""
        position, run = self.position, self.run
        late = self.clock.late(position.step, self.task.evaluation_steps)
        aged = self.clock.since_saved > 60 * run.checkpoint_minutes
        stop, late, aged = self.ranks.all_reduce_max((self.signals.received, late, aged))
        if late and position.step < self.last:
            self.last = position.step
            self.console.print(f"--max-hours {run.max_hours:g}: ends after step {position.step}; --resume goes on")
        report = position.step % run.report_every == 0
        due = position.step == self.last < self.total or aged
        if report or due or stop:
            figures = self._finite(position.means(self.ranks))
            self.bar.update(self.shown, figures=progress_line(figures))
            if report:
                self._write("step", figures, epoch)
        if due or stop:
            self._checkpoint(epoch, within)
        if stop:
            raise Interrupted(_stopped(f"in epoch {epoch + 1} after step {within}; all is saved"), 128 + stop)

    def roll_back(self, error: Diverged) -> None:
        """Go on from the last good checkpoint with another order and half the learning rate, or give up."""
        attempt = self.position.attempt + 1
        if self.run.on_nan != "rollback":
            raise error
        if attempt > MAX_ROLLBACKS:
            raise Diverged(f"{error}; went back {MAX_ROLLBACKS} times in vain")
        self._go_on()
        self.position.attempt = self.task.attempt = attempt
        if self.log:
            self.log.close()
            self.log = RunLog(self.folder, self.position.epoch, self.position.step)
        reason = str(error).partition(";")[0]
        self.console.print(f"{reason}: back to step {self.position.step}, learning rate x {0.5**attempt:g}")
        self.bar.update(self.shown, completed=self.position.step)

    def _evaluate(self, epoch: int) -> dict[str, Any]:
        self.ranks.check_equal(self.task.replicas())

        def tell(done: int, examples: int) -> None:
            stop = self.signals.received
            if stop and self.ranks.count == 1:
                kept = next(iter(newest_first(self.checkpoints)), "nothing yet")
                raise Interrupted(_stopped(f"while epoch {epoch + 1} was evaluated; saved is {kept}"), 128 + stop)
            self.bar.update(self.shown, figures=f"evaluating {100 * done // examples} %")

        began = time.monotonic()
        figures = self.task.end_epoch(epoch, tell)
        self.clock.evaluated(time.monotonic() - began)
        return figures

    def _write(self, event: str, figures: Mapping[str, Any], epoch: int) -> None:
        if self.log:
            self.log.write(event, figures, epoch, self.position.step, self.clock.seconds)

    def _checkpoint(self, epoch: int, within: int) -> None:
        began = time.monotonic()
        position = self.position
        position.epoch, position.within = epoch, within
        position.keep_sums_on_one(self.ranks)
        state = self.task.state()
        if _holds_nan(state):
            raise Diverged(f"a weight is nan after step {position.step}; {self._advice()}")
        if self.ranks.rank == 0:
            content = {"kind": self.task.kind, "identity": self.identity, "position": position.state(), "task": state}
            save(path_of(self.checkpoints, position.step), content)
            for old in newest_first(self.checkpoints)[self.run.keep_checkpoints :]:
                old.unlink()
        self.clock.saved(time.monotonic() - began)

    def _go_on(self) -> None:
        """Take up the newest checkpoint that can be."""
        refused = []
        for path in newest_first(self.checkpoints):
            try:
                self._take_up(path)
            except CheckpointError as error:
                self.console.print(f"refused: {error}", style="yellow", highlight=False)
                refused.append(error)
                continue
            place = f"epoch {self.position.epoch + 1}, step {self.position.step}"
            self.console.print(f"going on from {path}: {place}", highlight=False)
            break
        else:
            if refused:
                advice = "give the run's own options, or start anew under another --name"
                raise CheckpointError(f"{refused[0]}; no checkpoint can be gone on from: {advice}")
        self.ranks.check_equal({"the checkpoint to go on from": torch.tensor(self.position.step)})

    def _take_up(self, path: Path) -> None:
        """Go to where a checkpoint was written, or raise ``CheckpointError``."""
        state = load(path)
        reason = differing(state, self.task.kind, self.identity)
        if reason:
            raise CheckpointError(f"{path}: another run's checkpoint, {reason}")
        try:
            self.position.load(state["position"], self.ranks)
            self.task.load_state(state["task"])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())[:160]
            raise CheckpointError(f"{path}: written by other code, its state does not fit ({reason})") from None
        self.task.attempt = self.position.attempt

    def _finite(self, figures: dict[str, float]) -> dict[str, float]:
        for name, value in figures.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {self.position.step}; {self._advice()}")
        return figures

    def _advice(self) -> str:
        good = next(iter(newest_first(self.checkpoints)), "none")
        return f"lower --weights.lr, or go back by itself with --on-nan rollback. Last good checkpoint: {good}"


class _Position:
    """Where a run stands: epoch, step within it, step in all, running sums of this epoch, how often it went back."""

    def __init__(self) -> None:
        self.epoch = self.within = self.step = self.attempt = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, sums: Mapping[str, Tensor]) -> None:
        for name, value in sums.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        self.step += 1

    def means(self, ranks: Ranks) -> dict[str, float]:
        """The figures of this epoch so far, for each image."""
        totals = dict(zip(self.sums, self._totals(ranks)))
        images = totals.pop("images")
        return {f"train_{name}": value / images for name, value in totals.items()}

    def keep_sums_on_one(self, ranks: Ranks) -> None:
        """Leave the sums of all ranks on rank 0, and nothing on the others."""
        if ranks.count > 1 and self.sums:
            totals = zip(self.sums, self._totals(ranks))
            self.sums = {name: torch.tensor(value if ranks.rank == 0 else 0.0).double() for name, value in totals}

    def _totals(self, ranks: Ranks) -> list[float]:
        return ranks.total(torch.tensor([value.item() for value in self.sums.values()], dtype=torch.float64)).tolist()

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def load(self, state: Mapping[str, Any], ranks: Ranks) -> None:
        counts = {name: state[name] for name in ("epoch", "within", "step", "attempt")}
        if any(type(count) is not int or count < 0 for count in counts.values()):
            raise ValueError(f"no position is {counts}")
        vars(self).update(counts, sums={name: value.double() for name, value in state["sums"].items()})
        if ranks.rank > 0:
            self.sums = {name: torch.zeros_like(value) for name, value in self.sums.items()}


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _tensors(value)


def _holds_nan(state: Mapping[str, Any]) -> bool:
    """Whether a tensor of the state holds what is no number; a step that overflows shows there before in the loss."""
    found = [tensor.isnan().any() for tensor in _tensors(state) if tensor.is_floating_point()]
    devices = {flag.device for flag in found}
    return any(bool(torch.stack([flag for flag in found if flag.device == device]).any()) for device in devices)


def _stopped(where: str) -> str:
    command = shlex.join(["python", *sys.argv, *([] if "--resume" in sys.argv else ["--resume"])])
    return f"stopped {where}. Go on with: {command}"
