"""Atomic writing of files."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes, replace: bool = True) -> None:
    """Write a file so that at every moment it has either its complete old or its complete new content.

    A device or a pipe, such as ``/dev/stdout``, is written to as it is.

    Raises:
        OSError: naming ``path``, which is unchanged.
        FileExistsError: where ``replace`` is off and the path exists, even if it appeared a moment ago.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(content)
        return
    if not path.name:  # "." and "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace or not _link(temporary, path):
            os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # as on a disk that has become read-only
            temporary.unlink(missing_ok=True)
    if os.name == "posix":
        with contextlib.suppress(OSError):  # as in a folder that cannot be read, or on a file system without this
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def require_writable(path: Path) -> None:
    """Refuse a path that cannot be written, before the work whose result is to be written there.

    Raises:
        OSError: naming ``path``, where it is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        error.filename = str(path)
        raise


def _link(temporary: Path, path: Path) -> bool:
    """Give a file its final name unless the name is taken; False where the file system has no hard links."""
    try:
        os.link(temporary, path)
    except OSError:
        if path.exists():
            raise FileExistsError(f"{path} exists already") from None
        return False
    return True
