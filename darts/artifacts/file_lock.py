"""Locks of files between processes. A lock belongs to a process, and is free as soon as that has ended in any way.

The file is made when a lock is taken and removed when it is given back. Processes that a process has forked, such as
those that read data, do not inherit its locks.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path


class NoFileLocks(OSError):
    """The operating system, or the file system, has no locks of files."""


def take(path: Path, wait: bool) -> int | None:
    """Take the lock of a file, in a folder that is made where it is not there.

    Returns:
        The descriptor to give it back with; None where another process has it and ``wait`` is false.

    Raises:
        NoFileLocks: where there are none.
        OSError: where the place cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        raise NoFileLocks from None
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return None
            raise NoFileLocks(error.errno, error.strerror, str(path)) from None
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # its last owner has just removed it


def give_back(path: Path, descriptor: int) -> None:
    """Give a lock back, and remove its file; do nothing where that was done."""
    if _is_at(descriptor, path):
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
