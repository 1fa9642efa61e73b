"""Errors of the worker processes that load batches, each in one line that says what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from darts.errors import UserError

MEMORY = re.compile(r"shared memory|bus error|/torch_|shm|mmap|insufficient", re.IGNORECASE)
"""Errors of workers that find too little shared memory, in the words of PyTorch and the system."""

FILES = re.compile(r"too many open files|ancdata|file descriptor", re.IGNORECASE)
"""Errors of workers that find too few file handles."""


def without_traceback(loader: DataLoader) -> Iterator[Any]:
    """Yield a loader's batches.

    Raises:
        UserError: in one line, without the worker's traceback, where a worker raised one, where shared memory or file
            handles do not suffice, or where a worker was killed.
    """
    try:
        yield from loader
    except UserError as error:
        raise UserError(str(error).strip().rpartition(f"{UserError.__name__}: ")[2]) from None
    except (RuntimeError, OSError) as error:
        if not loader.num_workers:
            raise
        problem = _problem(error)
        if problem is None:
            raise
        raise UserError(problem) from None


def _problem(error: Exception) -> str | None:
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EMFILE or FILES.search(text):
        return "too few file handles for the processes that load data: set `data.workers` 0, or raise ulimit -n"
    if number == errno.ENOSPC or MEMORY.search(text):
        return (
            "too little shared memory (/dev/shm) for the processes that load data: set `data.workers` 0, or give more "
            "(docker run --shm-size 2g)"
        )
    if re.search(r"DataLoader worker .*(killed|exited)", text):
        return "a process that loads data was killed, perhaps for lack of memory: set `data.workers` lower"
    return None
