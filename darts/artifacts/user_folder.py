"""The folder of a run that a user names by a path, or a temporary one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from darts.artifacts.run_config import OWN
from darts.artifacts.run_folder import CHECKPOINTS, MODEL, read_config
from darts.artifacts.run_lock import locked
from darts.errors import UserError

STUDY = "study.journal"
"""The record of a search by trials; that of a training is its folder of checkpoints."""

RESULTS = (CHECKPOINTS, STUDY, "study.db", "trials.json", "genotype.json", "weights.pt", MODEL)
"""Files that a run leaves, which a run of another kind would overwrite."""


@contextmanager
def run_folder_of(run: str | Path | None, record: str) -> Iterator[Path]:
    """Yield the run's folder, locked; a temporary one where none is given.

    Args:
        run: the folder.
        record: by which a run of this kind is continued: ``STUDY`` or ``CHECKPOINTS``.

    Raises:
        UserError: where it cannot be a folder or cannot be written, holds a run of another kind, or another process
            works in it.
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
        _refuse_other(path, record)
        yield path


def _refuse_other(folder: Path, record: str) -> None:
    """Refuse a folder with the results of another kind of run, or with the configuration of one that has none yet."""
    if (folder / record).exists():
        return
    config = read_config(folder).get("config")
    foreign = isinstance(config, dict) and config.get("recipe") != OWN
    found = next((name for name in RESULTS if (folder / name).exists()), "config.json" if foreign else None)
    if found:
        raise UserError(f"`run` is {folder}, which holds {found} of another run; give a new folder")
