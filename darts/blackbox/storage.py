"""The storage of a study: SQLite in the run's folder, or any storage of Optuna that several workers share.

``sqlite:///FILE`` and ``journal:FILE`` serve the processes of one machine, or of several that share a file system with
locks; ``postgresql://USER@HOST/DATABASE`` and ``mysql://USER@HOST/DATABASE`` (MySQL, MariaDB) serve any number of
machines. Each comes with the locks of the same storage.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import NullPool

from darts.blackbox.locks import OPENING, AdvisoryLocks, Key, Locks, NamedLocks, NoLocks, file_locks, holding
from darts.errors import UserError
from genotypes.errors import first_line, kind_and_text

JOURNAL = "journal:"


@dataclass(frozen=True)
class Server:
    """A kind of database server.

    Attributes:
        title: its name.
        drivers: Python packages that speak to it, the preferred first.
        locks: made of a connection.
    """

    title: str
    drivers: tuple[str, ...]
    locks: Callable[[sqlalchemy.Connection], Locks]


SERVERS = {
    "postgresql": Server("PostgreSQL", ("psycopg", "psycopg2", "pg8000"), AdvisoryLocks),
    "mysql": Server("MySQL", ("pymysql",), NamedLocks),
}
"""Kind of a server, as addresses begin, -> the server."""

FIRST_BYTES = b'{"op_code":'
"""The beginning of every line of a journal."""

WRITING: Key = (-1, 1)
"""The lock of a journal's file."""

PATIENCE = 60.0
"""Seconds to wait for another process's writing to SQLite."""


STORAGE_ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)
"""Errors of a storage that can no longer be reached."""


@contextmanager
def reachable(name: str) -> Iterator[None]:
    """Raise the errors of a storage that is gone, locked, full or cannot be written as a ``UserError`` of one line.

    Args:
        name: of the storage, for messages.
    """
    try:
        yield
    except STORAGE_ERRORS as error:
        reason = first_line(error.__cause__ or error)
        raise UserError(f"{name}: the storage is gone ({reason}); continue with `run.resume`") from None


@dataclass(frozen=True)
class Storage:
    """A storage that was opened.

    Attributes:
        name: its address as messages show it, without a password.
        records: of Optuna.
        locks: that its workers share.
    """

    name: str
    records: BaseStorage
    locks: Locks


def open_storage(address: str) -> Storage:
    """Open a storage, and make it where there is none.

    Args:
        address: ``sqlite:///FILE``, ``postgresql://...``, ``mysql://...`` or ``journal:FILE``.

    Raises:
        UserError: where the address is none of these, its driver is not installed, or it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what its warnings say, errors of one line say too
    if address.startswith(JOURNAL):
        return _journal(Path(address.removeprefix(JOURNAL)))
    try:
        url = sqlalchemy.make_url(address)
    except sqlalchemy.exc.ArgumentError:
        raise UserError(_not_an_address(address)) from None
    name, kind = url.render_as_string(hide_password=True), url.get_backend_name()
    if kind == "sqlite" and url.database:
        return _sqlite(Path(url.database))
    if kind in SERVERS:
        return _on_server(name, url, kind)
    raise UserError(_not_an_address(name))


def sqlite(path: Path) -> str:
    """Return the address of an SQLite file."""
    return f"sqlite:///{path.resolve()}"


def _journal(path: Path) -> Storage:
    if not path.name:
        raise UserError(_not_an_address(f"{JOURNAL}{path}"))
    locks = file_locks(_beside(path))
    try:
        with holding(locks, OPENING), holding(locks, WRITING):
            _drop_torn_line(path)
        with holding(locks, OPENING):
            own = None if isinstance(locks, NoLocks) else _JournalLock(locks)
            backend = JournalFileBackend(str(path), lock_obj=own)
            return Storage(f"{JOURNAL}{path}", JournalStorage(backend), locks)
    except Exception as error:  # json's, or the file system's
        raise UserError(f"`study.storage` {path}: no journal of Optuna ({kind_and_text(error)})") from None


def _drop_torn_line(path: Path) -> None:
    """Take away the line that a killed process or a full disk has cut short at the end of a journal.

    Raises:
        ValueError: where the file is no journal; it is left as it is.
    """
    if not path.is_file():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    if not all(isinstance(line, dict) and "op_code" in line for line in map(json.loads, lines)):
        raise ValueError("a line that is no record")
    if rest and not rest.startswith(FIRST_BYTES[: len(rest)]):
        raise ValueError("an end that is no record")
    if rest:
        with open(path, "rb+") as file:
            file.truncate(sum(len(line) + 1 for line in lines))


def _sqlite(path: Path) -> Storage:
    locks = file_locks(_beside(path))
    with holding(locks, OPENING), reachable(str(path)):
        records = _records(sqlite(path), str(path), {"connect_args": {"timeout": PATIENCE}})
        _write_ahead(records.engine)
        return Storage(str(path), records, locks)


def _write_ahead(engine: sqlalchemy.Engine) -> None:
    """Let SQLite write to a log first: a record costs no wait for the disk, and a killed process harms none."""

    def relax(connection: DBAPIConnection, _: object) -> None:
        connection.cursor().execute("PRAGMA synchronous=NORMAL")

    sqlalchemy.event.listen(engine, "connect", relax)
    engine.dispose()
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))


def _on_server(name: str, url: sqlalchemy.URL, kind: str) -> Storage:
    server = SERVERS[kind]
    if url.drivername == kind:
        found = next((driver for driver in server.drivers if find_spec(driver)), None)
        if found is None:
            advice = f"no driver for {server.title} is installed: pip install {server.drivers[0]}"
            raise UserError(f"`study.storage` {name}: {advice}")
        url = url.set(drivername=f"{kind}+{found}")
    try:
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        locks = server.locks(engine.connect())
    except ImportError as error:
        raise UserError(f"`study.storage` {name}: its driver is not installed ({kind_and_text(error)})") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise UserError(f"`study.storage` {name}: cannot be reached ({kind_and_text(error)})") from None
    with holding(locks, OPENING):
        return Storage(name, _records(url.render_as_string(hide_password=False), name, {"pool_pre_ping": True}), locks)


def _records(address: str, name: str, options: dict[str, object]) -> RDBStorage:
    try:
        return RDBStorage(address, engine_kwargs=options)
    except Exception as error:  # SQLAlchemy's, which Optuna passes on
        advice = "choose another `run.name` or `study.storage`"
        raise UserError(f"{name}: not the study of a search ({kind_and_text(error)}); {advice}") from None


class _JournalLock(BaseJournalFileLock):
    """The lock of writing to a journal. That of Optuna outlives a killed process by half a minute."""

    def __init__(self, locks: Locks):
        self._locks = locks

    def acquire(self) -> bool:
        return self._locks.acquire(WRITING, wait=True)

    def release(self) -> None:
        self._locks.release(WRITING)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.locks")


def _not_an_address(address: str) -> str:
    allowed = "sqlite:///FILE, journal:FILE, postgresql://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE"
    return f"`study.storage` is {address!r}; it must be {allowed}"
