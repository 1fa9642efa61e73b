"""Atomic writing of files."""

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, content: bytes, replace: bool = True) -> None:
    """Write a file so that at every moment it has either its complete old or its complete new content.

    Raises:
        OSError: naming ``path``, which is unchanged.
        FileExistsError: where ``replace`` is off and the path exists, even if it appeared a moment ago.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
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
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _link(temporary: Path, path: Path) -> bool:
    """Give a file its final name unless the name is taken; False where the file system has no hard links."""
    try:
        os.link(temporary, path)
    except OSError:
        if path.exists():
            raise FileExistsError(f"{path} exists already") from None
        return False
    return True
