"""The folders of runs: the one that a command writes to, and the files in them."""

from __future__ import annotations

import json
import os
import re
from glob import escape
from pathlib import Path
from typing import Any

from darts.artifacts.run_lock import lock
from darts.config import RunConfig
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks, restarted

CHECKPOINTS = "checkpoints"

MODEL = "model.pt"
"""The model that ``darts.fit`` has trained."""


def run_folder(run: RunConfig, default: str, ranks: Ranks = SINGLE_PROCESS) -> Path:
    """Return the folder of this command's run, as rank 0 chooses it; it stays locked until the process ends.

    A new run gets a new folder: the default name, with a number where that is taken; a name that the user gave must
    be free. With ``resume``, the newest run of that name.

    Raises:
        UserError: where the given name is taken, in use by another process, or a path.
    """
    return Path(ranks.broadcast_from_rank0(lambda: str(_choose(run, default))))


def shared_folder(run: RunConfig, name: str) -> Path:
    """Return the folder that the workers of a study share; it is not locked.

    Raises:
        UserError: where the name is a path.
    """
    _check_name(name, "study.name")
    return run.runs / name


def _check_name(name: str, field: str) -> None:
    if Path(name).name != name or name in (".", "..") or not name.isprintable() or not name.strip():
        raise UserError(f"`{field}` is {name!r}; it must be the name of a folder, without a path: set `run.runs` too")


def _choose(run: RunConfig, default: str) -> Path:
    name = run.name or default
    _check_name(name, "run.name")
    taken = sorted(run.runs.glob(f"{escape(name)}*")) if run.name is None else [run.runs / name]
    numbers = {number: path for path in taken if path.is_dir() and (number := _number(path.name, name)) is not None}
    if not run.resume and restarted():
        numbers_of_launch = {number: path for number, path in numbers.items() if _made_by_this_launch(path)}
        if numbers_of_launch:
            return _locked(numbers_of_launch[max(numbers_of_launch)])
    if run.resume:
        return _locked(numbers[max(numbers)] if numbers else run.runs / name)
    used = {number for number, path in numbers.items() if any(path.iterdir())}
    if run.name and used:
        raise UserError(f"{run.runs / name} exists: resume it by `run.resume`, or give another `run.name`")
    number = max(used, default=0) + 1
    while run.name is None:
        folder = run.runs / (f"{name}-{number}" if number > 1 else name)
        try:
            return _locked(folder)
        except UserError:  # another process has just chosen it
            number += 1
    return _locked(run.runs / name)


def _locked(folder: Path) -> Path:
    lock(folder)
    return folder


def _number(folder: str, name: str) -> int | None:
    """Return the number in a folder's name, 1 for the name itself; None for the folder of another name."""
    match = re.fullmatch(re.escape(name) + r"(?:-(\d+))?", folder)
    return None if match is None else int(match[1] or 1)


def _made_by_this_launch(folder: Path) -> bool:
    """Return whether all files of a folder are younger than torchrun's agent, the parent of this process."""
    try:
        started = os.stat(f"/proc/{os.getppid()}").st_ctime
    except OSError:
        return True  # not Linux: a restart continues with the folder of its name
    return all(path.stat().st_mtime >= started - 1 for path in folder.rglob("*") if path.is_file())


def newest_search(runs: Path) -> Path:
    """Return the folder of the search that finished last.

    Raises:
        UserError: where there is none.
    """
    found = [path for path in runs.glob("*/genotype.json") if read_config(path.parent).get("kind") == "search"]
    if not found:
        raise UserError(f"no finished search under {runs}: run train_search.py first, or give --genotype")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def clear_temporary_files(folder: Path) -> None:
    """Delete what processes left in a folder that were killed while they wrote a file (``.NAME.PID``)."""
    for path in folder.glob(".*.*"):
        match = re.fullmatch(r"\..+\.(\d+)", path.name)
        if match and path.is_file() and not is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Return whether another process of this number is there."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return process != os.getpid()


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a run's ``config.json``; empty where there is none that can be read."""
    return read_object(folder / "config.json")


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty where there is none that can be read, or text that is not Unicode.

    Bytes of a path that are not UTF-8 stand there as ``os.fsdecode`` gives them, and are kept.
    """
    content = _read_json(path)
    return content if isinstance(content, dict) else {}


def read_list(path: Path) -> list[Any]:
    """Return the JSON list in a file; empty where there is none that can be read."""
    content = _read_json(path)
    return content if isinstance(content, list) else []


def _read_json(path: Path) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode(errors="surrogateescape")
    except (OSError, ValueError, RecursionError):
        return None
    return content
