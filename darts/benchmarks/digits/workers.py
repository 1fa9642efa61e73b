"""Trainings in several processes of one thread each, which take them one by one from a list."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import torch

from darts.benchmarks.digits.rows import Row
from darts.benchmarks.digits.training import Protocol, Training, read_images, train
from darts.errors import UserError
from genotypes.types.nasbench201 import from_string


def trainings(
    jobs: Sequence[Row], processes: int, protocol: Protocol, stop: Callable[[], bool]
) -> Iterator[tuple[Row, Training] | None]:
    """Yield each training as it ends, and None once a second while there is none.

    Args:
        jobs: architectures and seeds.
        processes: how many work at once.
        protocol: of the trainings.
        stop: is asked after each yield; trainings in progress are then abandoned.

    Raises:
        UserError: where a process has ended before its work was done.
    """
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    following = context.Value("q", 0)
    workers = [
        context.Process(target=_work, args=(jobs, following, protocol, results), daemon=True)
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
                    raise UserError(
                        f"a process ended with exit code {codes[0]} (out of memory?); run the command again, with "
                        f"fewer --processes"
                    ) from None
                yield None
            else:
                left -= 1
                yield found
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _work(jobs: Sequence[Row], following: Synchronized[int], protocol: Protocol, results: Any) -> None:
    """Train what comes next until nothing is left, or the process that asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    images, parent = read_images(protocol), multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        with following.get_lock():
            index = following.value
            following.value += 1
        if index >= len(jobs):
            time.sleep(0.1)
            return
        architecture, seed = jobs[index]
        results.put((jobs[index], train(from_string(architecture), seed, images, protocol)))
