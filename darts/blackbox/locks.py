"""Locks that several processes share through the storage of their study: who decides, and whose a trial is.

A lock belongs to a process and ends with it, however it ends: that of a file by the operating system, that of a
database when the connection is closed. So the trial of a killed worker is free at once, without heartbeats and their
delay, and never while its worker is alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import sqlalchemy

from darts.artifacts import file_lock

Key = tuple[int, int]
"""Number of a study in its storage, and a number within it."""

OPENING: Key = (-1, 0)
"""Held while a storage is opened, which makes its tables. Studies have numbers from 0 on."""

DECIDING = 0
"""Within a study: held while a worker chooses what to do next. Trial ``n`` has the number ``n + 1``."""

NAME = "CONCAT('darts-', LEFT(SHA1(DATABASE()), 16), '-', :key)"
"""Of a lock by name, at most 64 characters."""

YEAR = 31_536_000
"""The longest time of an idle connection that MySQL can be set to, in seconds."""

NAMESPACE = 0x0DA0_0000
"""Added to the first number of an advisory lock, which all programs in a database share."""


class Locks(Protocol):
    """The locks of a storage. A process holds a lock once."""

    def acquire(self, key: Key, wait: bool) -> bool:
        """Take a lock; return False where another holds it and ``wait`` is false."""
        ...

    def release(self, key: Key) -> None:
        """Give a lock back."""
        ...


@contextmanager
def holding(locks: Locks, key: Key) -> Iterator[None]:
    """Wait for a lock, and hold it meanwhile."""
    locks.acquire(key, wait=True)
    try:
        yield
    finally:
        locks.release(key)


def alone_in(folder: Path) -> AbstractContextManager[None]:
    """Wait until no other worker is in this part of its program for a run's folder, and keep the others out."""
    return holding(file_locks(folder.with_name(f".{folder.name}.locks")), OPENING)


@dataclass(frozen=True)
class Claims:
    """The locks of one study."""

    locks: Locks
    study: int

    def deciding(self) -> AbstractContextManager[None]:
        """Be the only worker that decides meanwhile."""
        return holding(self.locks, (self.study, DECIDING))

    def claim(self, number: int, wait: bool = False) -> bool:
        """Claim a trial by its number; return False where another worker that is alive has it."""
        return self.locks.acquire((self.study, number + 1), wait)

    def release(self, number: int) -> None:
        """Give a trial back."""
        self.locks.release((self.study, number + 1))


@dataclass(frozen=True)
class NoLocks:
    """The locks of a storage in memory, or of a system without file locks: there is one worker."""

    def acquire(self, key: Key, wait: bool) -> bool:
        """Return True."""
        return True

    def release(self, key: Key) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class FileLocks:
    """Locks of files in a folder beside the storage's file; a file is removed when its lock is given back."""

    folder: Path
    _held: dict[Key, int] = field(default_factory=dict)

    def acquire(self, key: Key, wait: bool) -> bool:
        """Take a lock; return False where another holds it and ``wait`` is false.

        Raises:
            OSError: where the folder cannot be written.
        """
        descriptor = file_lock.take(self._path(key), wait)
        if descriptor is not None:
            self._held[key] = descriptor
        return descriptor is not None

    def release(self, key: Key) -> None:
        """Give a lock back, and remove its file."""
        file_lock.give_back(self._path(key), self._held.pop(key))

    def _path(self, key: Key) -> Path:
        return self.folder / "-".join(map(str, key))


@dataclass(frozen=True)
class AdvisoryLocks:
    """Advisory locks of PostgreSQL, held by a connection of their own."""

    connection: sqlalchemy.Connection

    def acquire(self, key: Key, wait: bool) -> bool:
        """Take a lock; return False where another holds it and ``wait`` is false."""
        function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
        return self._call(function, key) is not False

    def release(self, key: Key) -> None:
        """Give a lock back."""
        self._call("pg_advisory_unlock", key)

    def _call(self, function: str, key: Key) -> object:
        statement = sqlalchemy.text(f"SELECT {function}(:study, :number)")
        return self.connection.execute(statement, {"study": NAMESPACE + key[0], "number": key[1]}).scalar()


@dataclass(frozen=True)
class NamedLocks:
    """Locks of MySQL or MariaDB by name, held by a connection of their own, which the server may not close when idle.

    All databases of a server share the names; each begins with a hash of the database's.
    """

    connection: sqlalchemy.Connection

    def __post_init__(self) -> None:
        self.connection.execute(sqlalchemy.text(f"SET SESSION wait_timeout = {YEAR}"))

    def acquire(self, key: Key, wait: bool) -> bool:
        """Take a lock; return False where another holds it and ``wait`` is false."""
        return self._call(f"GET_LOCK({NAME}, {YEAR if wait else 0})", key) == 1

    def release(self, key: Key) -> None:
        """Give a lock back."""
        self._call(f"RELEASE_LOCK({NAME})", key)

    def _call(self, function: str, key: Key) -> object:
        return self.connection.execute(sqlalchemy.text(f"SELECT {function}"), {"key": "-".join(map(str, key))}).scalar()


def file_locks(folder: Path) -> Locks:
    """Return the locks of a folder; none where the system has no locks of files."""
    return NoLocks() if find_spec("fcntl") is None else FileLocks(folder)
