"""The number of threads that compute a run on a CPU, chosen by measuring the run's own steps.

Where other processes keep the cores busy, the threads of one operation wait for each other until each of them has been
scheduled: on two cores with about ten busy processes, a step of the default search took 5 s with one thread and 110 s
with two. On an idle machine more threads are faster. The number of threads changes the order in which numbers are
added, and with it the last bits of a result; so it is part of a checkpoint, and a resumed run computes with the number
it had.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from darts.artifacts.checkpoint import canonical
from darts.training.generators import global_generators_kept

SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user chooses the number of threads; then nothing is measured."""

MEASURED_STEPS = 3
"""Steps that are measured for each number of threads; the fastest one counts. The first ones prepare kernels."""

LONG = 4.0
"""All threads are measured for no longer than this multiple of a step with one thread."""

SECONDS = 1.0
"""But for at least so long."""

LEAST_STEPS = 50
"""A run with fewer steps left is not worth a measurement."""

CLEARLY_FASTER = 0.8
"""One thread is chosen where its step takes less than this part of the time that all threads take."""

BUSY = 4.0
"""A machine is busy where short convolutions take longer by this factor with all threads than with one; then a whole
step with all threads is not measured, as it may take minutes."""

CALLS = 40
"""Convolutions that tell whether a machine is busy."""

WINDOW = 15
"""Steps whose median time is compared."""

SLOW = 2.0
"""Steps are slow where their median time exceeds the usual one by this factor."""

PATIENCE = 60.0
"""Seconds between two measurements at least."""

RETRY = 600.0
"""Seconds after which a run on one thread is measured again: the machine may be idle by then."""


class MeasuredTask(Protocol):
    """The part of a task (``darts.training.task.Task``) that a measurement needs."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of an epoch."""

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Prepare this step of this epoch."""

    def step(self) -> Mapping[str, Tensor]:
        """Take one step."""

    def replicas(self) -> Mapping[str, Tensor]:
        """Return the tensors that are trained."""

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to that state."""


class Threads:
    """The number of PyTorch's threads during a run: one, or as many as there were before it.

    Nothing is measured or set on another device than a CPU, by several processes, where a user has set the number
    (``SETTINGS``), or where there is one thread anyhow. Leaving the context gives the threads back.

    Args:
        console: gets one line for each choice.
        processes: that compute the run together.
        clock: seconds, monotonic.
        probe: the seconds that short convolutions take with PyTorch's present number of threads.
    """

    def __init__(
        self,
        console: Console,
        processes: int = 1,
        clock: Callable[[], float] = time.perf_counter,
        probe: Callable[[], float] | None = None,
    ):
        self.console, self.clock, self.probe = console, clock, probe or seconds_of_convolutions
        self.before = torch.get_num_threads()
        self.alone = processes == 1
        self.free = self.alone and self.before > 1 and not any(name in os.environ for name in SETTINGS)
        self.chosen = False
        self.usual: float | None = None
        self.recent: deque[float] = deque(maxlen=WINDOW)
        self.measured_at = self.step_began = clock()

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)

    def state(self) -> int:
        """Return the number of threads, as a checkpoint stores it."""
        return torch.get_num_threads()

    def load_state(self, count: Any) -> None:
        """Compute with the number of threads of a checkpoint; nothing changes where it has none.

        Raises:
            ValueError: where it is not a number of threads.
        """
        if count is None or not self.alone:
            return
        if type(count) is not int or not 1 <= count <= 4096:
            raise ValueError(f"{count!r} is not a number of threads")
        torch.set_num_threads(count)
        self.chosen = True

    def choose_at_start(self, task: MeasuredTask, epoch: int, within: int, left: int) -> None:
        """Choose before the first step, unless a checkpoint has said the number.

        Args:
            task: before ``begin_epoch``.
            epoch, within: where it stands.
            left: steps of the run.
        """
        if not self.chosen and left >= LEAST_STEPS:
            self.choose(task, epoch, within)
        self.chosen = True
        self.step_began = self.clock()

    def choose(self, task: MeasuredTask, epoch: int, within: int) -> bool:
        """Measure steps with one thread and with all, and set the faster number; the task's state is not changed.

        Afterwards the epoch is to be begun again.

        Returns:
            Whether the number has changed.
        """
        steps = min(MEASURED_STEPS, task.steps_per_epoch - within)
        if not self.free or steps < 1 or any(tensor.device.type != "cpu" for tensor in task.replicas().values()):
            return False
        before = torch.get_num_threads()
        busy = self._busy()
        if busy is None:
            chosen, reason = self._faster(task, epoch, within, steps)
        else:
            chosen, reason = 1, f"the machine is busy, convolutions take {busy:.0f} times as long with {self.before}"
        torch.set_num_threads(chosen)
        self.console.print(f"computing with {chosen} of {self.before} threads: {reason}", highlight=False)
        self.usual, self.measured_at = None, self.clock()
        self.recent.clear()
        return chosen != before

    def _busy(self) -> float | None:
        """How many times as long short convolutions take with all threads, where that is too much; else ``None``."""
        seconds = []
        for count in (1, self.before):
            torch.set_num_threads(count)
            seconds.append(self.probe())
        one, most = seconds
        return most / one if most > BUSY * one > 0 else None

    def _faster(self, task: MeasuredTask, epoch: int, within: int, steps: int) -> tuple[int, str]:
        """The number of threads with which steps are faster, and their seconds in words."""
        state = canonical(task.state())
        most = float("inf")
        seconds = {}
        with global_generators_kept(torch.device("cpu")):
            for count in (1, self.before):
                torch.set_num_threads(count)
                task.load_state(canonical(state))
                task.begin_epoch(epoch, within)
                seconds[count] = self._fastest_step(task, steps, most)
                most = max(LONG * seconds[count], SECONDS)
        task.load_state(canonical(state))
        chosen = 1 if seconds[1] < CLEARLY_FASTER * seconds[self.before] else self.before
        return chosen, "a step takes " + ", ".join(f"{value:.2g} s with {count}" for count, value in seconds.items())

    def slow(self) -> bool:
        """Note the end of a step; return whether the number of threads should be chosen again."""
        now = self.clock()
        self.recent.append(now - self.step_began)
        self.step_began = now
        since = now - self.measured_at
        if not self.free or len(self.recent) < WINDOW:
            return False
        if self.usual is None:
            self.usual = median(self.recent)
        if since < PATIENCE:
            return False
        retry = torch.get_num_threads() < self.before and since > RETRY
        return retry or median(self.recent) > SLOW * self.usual

    def _fastest_step(self, task: MeasuredTask, steps: int, most: float) -> float:
        """Seconds of the fastest of some steps, of which none begins after ``most`` seconds."""
        began = self.clock()
        fastest = float("inf")
        for _ in range(steps):
            step_began = self.clock()
            task.step()
            fastest = min(fastest, self.clock() - step_began)
            if self.clock() - began > most:
                break
        return fastest


def seconds_of_convolutions() -> float:
    """Return the seconds that ``CALLS`` short convolutions take with PyTorch's present number of threads."""
    x, weight = torch.ones(16, 16, 16, 16), torch.ones(16, 16, 3, 3)
    F.conv2d(x, weight)
    began = time.perf_counter()
    for _ in range(CALLS):
        F.conv2d(x, weight)
    return time.perf_counter() - began
