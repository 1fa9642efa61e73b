"""The folder of a run that a user names by a path, or a temporary one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from darts.artifacts.run_lock import locked
from darts.errors import UserError


@contextmanager
def run_folder_of(run: str | Path | None) -> Iterator[Path]:
    """Yield the run's folder, locked; a temporary one where none is given.

    Raises:
        UserError: where it cannot be a folder or cannot be written, or another process works in it.
    """
    if run is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    path = Path(run)
    if path.exists() and not path.is_dir():
        raise UserError(f"`run` is {path}, which is a file; give a folder")
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except OSError as error:
            raise UserError(f"`run` is {path}: {error.strerror}; give a folder that can be written") from None
        yield path
