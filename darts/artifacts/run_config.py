"""The configuration of a run in its ``config.json``: written, and read again; a field that is not valid is named."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from darts.artifacts.plain_values import record_from
from darts.artifacts.run_folder import read_config
from darts.config import BlackboxConfig, Config, RetrainConfig, SearchConfig, SpaceConfig
from darts.config.fields import check_ranges
from darts.errors import UserError
from genotypes.atomic_write import write_atomically
from supernet.bench.machine import machine

C = TypeVar("C")

OWN = "own"
"""The recipe and the data set's name of a run that ``darts.search`` or ``darts.retrain`` made with a user's model."""


PASSWORD = re.compile(r"(://[^:/@\s\"]*:)[^@/\s\"]+@")
"""The password in the address of a database, and what stands before it."""


def describe_run(folder: Path, kind: str, config: Mapping[str, Any], device: torch.device, processes: int = 1) -> None:
    """Write ``config.json``: configuration, command, machine and versions, without the passwords of addresses.

    Args:
        kind: ``search`` or ``retrain``.
    """
    content = {
        "kind": kind,
        "command": ["python", *sys.argv],
        "machine": machine(device),
        "processes": processes,
        "config": config,
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = PASSWORD.sub(r"\1***@", json.dumps(content, indent=2))
    write_atomically(folder / "config.json", (text + "\n").encode())


def load_search_config(folder: Path) -> SearchConfig | None:
    """Return the configuration of the search that ran in a folder; None where the folder is not a search's.

    Raises:
        UserError: naming the file, the first invalid field, and what may stand there.
    """
    way = f"train what it found in Python: darts.retrain(darts.load({str(folder)!r}, model).network(), data)"
    config = _config_of(folder, "search", way)
    return None if config is None else _section(SearchConfig, config, "config", folder / "config.json")


def load_config(folder: Path, kind: str) -> Config | None:
    """Return the configuration with which a script began a run; None where the folder holds no run of the kind.

    Args:
        kind: ``search`` or ``retrain``.

    Raises:
        UserError: naming the file, the first invalid field, and what may stand there; or where the run is in a model of
            the user's own.
    """
    config = _config_of(folder, kind, f"resume it in Python, by the same call with run={str(folder)!r}")
    if config is None:
        return None
    of_search = BlackboxConfig if "strategy" in config else SearchConfig
    record: type[Config] = of_search if kind == "search" else RetrainConfig
    return _section(record, config, "config", folder / "config.json")


def _config_of(folder: Path, kind: str, way: str) -> Mapping[str, Any] | None:
    """Return the configuration in a run's file; None where it is not of the kind.

    Args:
        way: what to do with a run in a model of the user's own.
    """
    content = read_config(folder)
    if content.get("kind") != kind:
        return None
    config = content.get("config")
    if not isinstance(config, Mapping):
        raise UserError(f"{folder / 'config.json'}: config is {str(config)[:60]!r}; it must be an object")
    if config.get("recipe") == OWN:
        raise UserError(f"{folder}: a {kind} in a model of your own, which no file describes; {way}")
    return config


def load_space_config(folder: Path) -> SpaceConfig:
    """Return the size of the network that was retrained in a folder.

    Raises:
        UserError: naming the file, the first invalid field, and what may stand there.
    """
    content, path = read_config(folder).get("config"), folder / "config.json"
    space = _section(SpaceConfig, content.get("space") if isinstance(content, dict) else None, "config.space", path)
    try:
        check_ranges(space)
    except UserError as error:
        raise UserError(f"{path}: config.space: {error}") from None
    return space


def _section(kind: type[C], content: Any, field: str, path: Path) -> C:
    try:
        return record_from(kind, content, field)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
