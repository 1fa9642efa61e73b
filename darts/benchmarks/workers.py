"""Independent jobs in several processes, which take them one by one from a list."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.sharedctypes import Synchronized
from typing import Any, TypeVar

from rich.console import Console

from darts.errors import UserError
from darts.training.loop import Interrupted
from darts.training.progress import LineTimer, Signals, duration, progress_bar

J = TypeVar("J")
R = TypeVar("R")


def in_processes(
    make: Callable[[], Callable[[J], R]], jobs: Sequence[J], processes: int, stop: Callable[[], bool]
) -> Iterator[tuple[J, R] | None]:
    """Yield each job with its result as it ends, and None once a second while there is none.

    Args:
        make: returns what does a job; called once in each process, so it must be picklable, as jobs and results are.
        jobs: independent of each other.
        processes: how many work at once.
        stop: is asked after each yield; jobs in progress are then abandoned.

    Raises:
        UserError: where a process has ended before its work was done.
    """
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    following = context.Value("q", 0)
    workers = [
        context.Process(target=_work, args=(make, jobs, following, results), daemon=True)
        for _ in range(min(processes, len(jobs)))
    ]
    for worker in workers:
        worker.start()
    try:
        left = len(jobs)
        while left and not stop():
            try:
                found = results.get(timeout=1.0)
            except queue.Empty:
                codes = [worker.exitcode for worker in workers if worker.exitcode]
                if codes:
                    reason = f"a process ended with exit code {codes[0]}; its error, if any, stands above"
                    raise UserError(f"{reason}; run the command again, with fewer --processes") from None
                yield None
            else:
                left -= 1
                yield found
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def worked_off(
    make: Callable[[], Callable[[J], R]],
    jobs: Sequence[J],
    processes: int,
    *,
    things: str,
    console: Console,
    max_seconds: float | None = None,
    size: Callable[[J], int] = lambda job: 1,
) -> Iterator[tuple[J, R]]:
    """Yield each job with its result as it ends, and show how many are done and how long the others will take.

    Args:
        make, jobs, processes: as of ``in_processes``.
        things: that jobs make, for people.
        console: shows the progress.
        max_seconds: after which jobs in progress are abandoned; None for no limit.
        size: of a job, as a number of things.

    Raises:
        Interrupted: after a signal, when jobs in progress are abandoned.
        UserError: as of ``in_processes``.
    """
    began, total, done = time.monotonic(), sum(map(size, jobs)), 0
    lines = LineTimer(console)

    def line() -> str:
        rest = duration((time.monotonic() - began) / done * (total - done)) if done else "unknown time"
        return f"{done:,} of {total:,} {things}, {rest} left"

    with Signals() as signals, progress_bar(console) as bar:
        shown = bar.add_task(things, total=total, figures="")

        def stop() -> bool:
            late = max_seconds is not None and time.monotonic() - began > max_seconds
            return late or bool(signals.received)

        for found in in_processes(make, jobs, processes, stop):
            if found is not None:
                done += size(found[0])
                bar.update(shown, completed=done)
                yield found
            if lines.due:
                console.print(line(), highlight=False)
                lines.printed()
    if signals.received:
        raise Interrupted(f"stopped: {line()}; the same command continues", 128 + signals.received)
    if done < total:
        console.print(f"{line()}; the same command continues", highlight=False)


def _work(make: Callable[[], Callable[[J], R]], jobs: Sequence[J], following: Synchronized[int], results: Any) -> None:
    """Do what comes next until nothing is left, or the process that asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    do, parent = make(), multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        with following.get_lock():
            index = following.value
            following.value += 1
        if index >= len(jobs):
            return
        results.put((jobs[index], do(jobs[index])))
