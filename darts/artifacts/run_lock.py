"""The lock of a run: one process at a time works in its folder.

The lock is a file beside the folder, ``runs/.NAME.lock``, that the operating system locks for the process: it is free
as soon as the process has ended, however it ended.
"""

from __future__ import annotations

import atexit
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from darts.errors import UserError


def lock(folder: Path) -> int | None:
    """Lock a run's folder for this process, until it ends or ``unlock`` is called.

    Returns:
        The lock's file descriptor; None on systems without such locks.

    Raises:
        UserError: where another process that is alive works in the folder.
        OSError: where the place cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    path = _path_of(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise UserError(f"{folder} is in use by a running process; wait for it, or set `run.name`") from None
            return None  # a file system without locks
        if _is_at(descriptor, path):
            atexit.register(unlock, folder, descriptor)
            return descriptor
        os.close(descriptor)  # its last owner has just removed it


def unlock(folder: Path, descriptor: int | None) -> None:
    """Release a lock, and remove its file."""
    path = _path_of(folder)
    if descriptor is not None and _is_at(descriptor, path):
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            os.close(descriptor)


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


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
