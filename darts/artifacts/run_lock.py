"""The lock of a run: one process at a time works in its folder.

The lock is a file beside the folder, ``runs/.NAME.lock``, that the operating system locks for the process: it is free
as soon as the process has ended, however it ended.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from darts.artifacts import file_lock
from darts.artifacts.file_lock import NoFileLocks
from darts.errors import UserError


def lock(folder: Path) -> int | None:
    """Lock a run's folder for this process, until it ends or ``unlock`` is called.

    Returns:
        The lock's file descriptor; None on systems without such locks.

    Raises:
        UserError: where another process that is alive works in the folder.
        OSError: where the place cannot be written.
    """
    path = _path_of(folder)
    try:
        descriptor = file_lock.take(path, wait=False)
    except NoFileLocks:
        return None
    if descriptor is None:
        raise UserError(f"{folder} is in use by a running process; wait for it, or set `run.name`")
    atexit.register(unlock, folder, descriptor)
    return descriptor


def unlock(folder: Path, descriptor: int | None) -> None:
    """Release a lock, and remove its file."""
    if descriptor is not None:
        file_lock.give_back(_path_of(folder), descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder meanwhile; raise what ``lock`` raises."""
    descriptor = lock(folder)
    try:
        yield
    finally:
        unlock(folder, descriptor)


def _path_of(folder: Path) -> Path:
    folder = folder.absolute()
    if not folder.name:
        raise UserError(f"{folder} cannot be the folder of a run; give a folder in it")
    return folder.with_name(f".{folder.name}.lock")
