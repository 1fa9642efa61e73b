"""The configuration of a run that is there, from its ``config.json``; what a hand has spoilt in it is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from darts.artifacts.run_folder import read_config
from darts.config.schema import SearchConfig
from darts.errors import UserError

C = TypeVar("C")


def load_search_config(folder: Path) -> SearchConfig | None:
    """The configuration of the search that ran in a folder; None where the folder is of no search.

    Raises:
        UserError: naming the file, the first field that cannot be, and what may stand there.
    """
    content = read_config(folder)
    if content.get("kind") != "search":
        return None
    return _read(SearchConfig, content.get("config"), "config", folder / "config.json")


def _read(kind: type[C], content: Any, field: str, path: Path) -> C:
    """A configuration from a mapping; fields that it lacks, as those of older runs may, have their default."""
    if not isinstance(content, dict):
        raise UserError(f"{path}: {field} is {str(content)[:60]!r}; it must be an object")
    values = {}
    for name, hint in get_type_hints(kind).items():
        if name in content:
            values[name] = _value(hint, content[name], f"{field}.{name}", path)
    return kind(**values)


def _value(hint: Any, value: Any, field: str, path: Path) -> Any:
    if dataclasses.is_dataclass(hint):
        return _read(hint, value, field, path)
    if not _fits(hint, value):
        raise UserError(f"{path}: {field} is {str(value)[:60]!r}; it must be {_told(hint)}")
    if value is not None and Path in (hint, *get_args(hint)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def _fits(hint: Any, value: Any) -> bool:
    """Whether JSON's value can be one of the type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(each, value) for each in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        return isinstance(value, list) and all(_fits(inner[0], item) for item in value)
    if hint in (float, int) and isinstance(value, bool):
        return False
    return isinstance(value, {float: (float, int), Path: str}.get(hint, hint))


def _told(hint: Any) -> str:
    """A type as a message names it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_told, inner))
    if origin is Literal:
        return f"one of {', '.join(inner)}"
    if origin is tuple:
        return f"a list, each {_told(inner[0])}"
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "text", Path: "a path"}
    return "null" if hint is NoneType else names[hint]
