"""The configuration of a run in its ``config.json``: written, and read again; a field that is not valid is named."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch

from darts.artifacts.run_folder import read_config
from darts.config import LanguageSearchConfig, SearchConfig, SpaceConfig
from darts.config.fields import check_ranges
from darts.config.types_in_words import in_words
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
    content = read_config(folder)
    if content.get("kind") != "search":
        return None
    config = content.get("config")
    if isinstance(config, Mapping) and config.get("recipe") == OWN:
        raise UserError(
            f"{folder}: a search in a model of your own, which no file describes; train what it found in Python: "
            f"darts.retrain(darts.load({str(folder)!r}, model).network(), data)"
        )
    kind = LanguageSearchConfig if isinstance(config, Mapping) and "language" in config else SearchConfig
    return _section(kind, config, "config", folder / "config.json")


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
    """Return a configuration from a mapping; fields that it lacks, as those of older runs may, have their default."""
    if not isinstance(content, dict):
        raise UserError(f"{path}: {field} is {str(content)[:60]!r}; it must be an object")
    values = {}
    hints = get_type_hints(kind)
    assert dataclasses.is_dataclass(kind)
    for name in (each.name for each in dataclasses.fields(kind)):
        if name in content:
            values[name] = _value(hints[name], content[name], f"{field}.{name}", path)
    return kind(**values)


def _value(hint: Any, value: Any, field: str, path: Path) -> Any:
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return _section(hint, value, field, path)
    if not _fits(hint, value):
        raise UserError(f"{path}: {field} is {str(value)[:60]!r}; it must be {in_words(hint)}")
    if value is not None and Path in (hint, *get_args(hint)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value of JSON can be one of the type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(each, value) for each in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        right_length = inner[-1] is Ellipsis or (isinstance(value, list) and len(value) == len(inner))
        return isinstance(value, list) and right_length and all(_fits(inner[0], item) for item in value)
    if hint in (float, int) and isinstance(value, bool):
        return False
    accepted: dict[Any, Any] = {float: (float, int), Path: str}
    return isinstance(value, accepted.get(hint, hint))
