"""Worker processes that load batches: their errors in one line that says what to do, and their end."""

from __future__ import annotations

import atexit
import errno
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from darts.errors import UserError

TOO_LITTLE_MEMORY = (
    "too little shared memory (/dev/shm) for the processes that load data: set `data.workers` 0, or give more "
    "(docker run --shm-size 2g)"
)

MEMORY = re.compile(r"shared memory|bus error|/torch_\d|/dev/shm|unable to (mmap|open|write)", re.IGNORECASE)
"""Errors of workers that find too little shared memory, in the words of PyTorch and the system."""

FILES = re.compile(r"too many open files|ancdata|file descriptor", re.IGNORECASE)
"""Errors of workers that find too few file handles."""


SHARED_MEMORY = Path("/dev/shm")

LEAST_BYTES = 2**16
"""Shared memory that a worker process takes to start; a process that finds less fails half-started."""


def without_traceback(loader: DataLoader) -> Iterator[Any]:
    """Yield a loader's batches; PyTorch's advice on the number of workers is not printed.

    Raises:
        UserError: in one line, without the worker's traceback, where a worker raised one, where shared memory or file
            handles do not suffice, or where a worker was killed.
    """
    least = LEAST_BYTES * (loader.num_workers + 1)
    if loader.num_workers and SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free < least:
        raise UserError(TOO_LITTLE_MEMORY)
    batches: Any = None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")
            batches = iter(loader)
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            # A run that is stopped leaves them to the end of the process, where Python kills them and PyTorch raises
            # that as an error: they are ended before.
            atexit.register(batches._shutdown_workers)
        yield from batches
    except UserError as error:
        raise UserError(str(error).strip().rpartition(f"{UserError.__name__}: ")[2]) from None
    except (RuntimeError, OSError) as error:
        if not loader.num_workers:
            raise
        problem = _problem(error)
        if problem is None:
            raise
        raise UserError(problem) from None
    finally:
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            atexit.unregister(batches._shutdown_workers)


def _problem(error: Exception) -> str | None:
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EMFILE or FILES.search(text):
        return "too few file handles for the processes that load data: set `data.workers` 0, or raise ulimit -n"
    if number == errno.ENOSPC or MEMORY.search(text):
        return TOO_LITTLE_MEMORY
    if re.search(r"DataLoader worker .*(killed|exited)", text):
        return "a process that loads data was killed, perhaps for lack of memory: set `data.workers` lower"
    return None
