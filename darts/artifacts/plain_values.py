"""Records (frozen dataclasses) of the plain values of a file, each checked against its field's type."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from darts.config.types_in_words import fits, in_words

R = TypeVar("R")


def record_from(kind: type[R], content: Any, field: str) -> R:
    """Return a record of a mapping of plain values; a field that is missing has its default.

    Args:
        kind: a dataclass; its fields may be dataclasses. Where the mapping has a field that only a subclass of it has,
            such as the ``language`` of a search of a language model, the record is of that subclass.
        field: where the mapping stands, for messages.

    Raises:
        ValueError: naming the first invalid field, its value and what may stand there.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{field} is {str(content)[:60]!r}; it must be an object")
    assert dataclasses.is_dataclass(kind)
    names = {each.name for each in dataclasses.fields(kind)}
    for derived in kind.__subclasses__():
        if any(each.name in content and each.name not in names for each in dataclasses.fields(derived)):
            return record_from(derived, content, field)
    values = {}
    hints = get_type_hints(kind)
    for each in dataclasses.fields(kind):
        if each.name in content:
            values[each.name] = _value(hints[each.name], content[each.name], f"{field}.{each.name}")
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise ValueError(f"{field}.{each.name} is missing")
    return kind(**values)


def _value(hint: Any, value: Any, field: str) -> Any:
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return record_from(hint, value, field)
    if not fits(hint, value):
        raise ValueError(f"{field} is {str(value)[:60]!r}; it must be {in_words(hint)}")
    if isinstance(value, list):
        return tuple(map(Path, value)) if Path in get_args(hint) else tuple(value)
    return Path(value) if value is not None and Path in (hint, *get_args(hint)) else value
