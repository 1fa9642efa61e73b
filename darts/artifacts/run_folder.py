"""The folders of runs: which one a command writes to, and what is found in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from darts.config import RunConfig
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks

CHECKPOINTS = "checkpoints"


def run_folder(run: RunConfig, default: str, ranks: Ranks = SINGLE_PROCESS) -> Path:
    """Where this command runs, as rank 0 decides.

    A new run gets a new folder: the default name, with a number where that is taken; a name that the user gave must
    be free. With ``resume``, the newest run of that name.

    Raises:
        UserError: where the given name is taken, or is a path.
    """
    return Path(ranks.broadcast_from_rank0(lambda: str(_choose(run, default))))


def _choose(run: RunConfig, default: str) -> Path:
    name = run.name or default
    if Path(name).name != name or name in (".", "..") or not name.isprintable():
        raise UserError(f"--name {name!r}: a folder's name is needed, without a path; --runs says where")
    taken = sorted(run.runs.glob(f"{name}*")) if run.name is None else [run.runs / name]
    numbers = {_number(path.name, name): path for path in taken if path.is_dir()}
    numbers.pop(None, None)
    if run.resume:
        return numbers[max(numbers)] if numbers else run.runs / name
    if run.name and numbers:
        raise UserError(f"{run.runs / name} exists: go on with it by --resume, or give another --name")
    return run.runs / (f"{name}-{max(numbers) + 1}" if numbers else name)


def _number(folder: str, name: str) -> int | None:
    match = re.fullmatch(re.escape(name) + r"(?:-(\d+))?", folder)
    return None if match is None else int(match[1] or 1)


def newest_search(runs: Path) -> Path:
    """The folder of the search that finished last.

    Raises:
        UserError: where there is none.
    """
    found = [path for path in runs.glob("*/genotype.json") if read_config(path.parent).get("kind") == "search"]
    if not found:
        raise UserError(f"no finished search under {runs}: run train_search.py first, or give --genotype")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def read_config(folder: Path) -> dict[str, Any]:
    """What ``config.json`` of a run's folder holds; empty where there is none that can be read."""
    return read_object(folder / "config.json")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds; empty where there is none that can be read, or text that is no Unicode."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
