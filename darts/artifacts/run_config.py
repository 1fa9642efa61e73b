"""The configuration of an existing run, read from its ``config.json``; a field that is not valid is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from darts.artifacts.run_folder import read_config
from darts.config import LanguageSearchConfig, SearchConfig
from darts.config.types_in_words import in_words
from darts.errors import UserError

C = TypeVar("C")


def load_search_config(folder: Path) -> SearchConfig | None:
    """Return the configuration of the search that ran in a folder; None where the folder is not a search's.

    Raises:
        UserError: naming the file, the first invalid field, and what may stand there.
    """
    content = read_config(folder)
    if content.get("kind") != "search":
        return None
    config = content.get("config")
    kind = LanguageSearchConfig if isinstance(config, Mapping) and "language" in config else SearchConfig
    return _section(kind, config, "config", folder / "config.json")


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
