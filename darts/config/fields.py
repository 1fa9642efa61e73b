"""How the fields of a configuration are declared: their ranges, and whether a run may be resumed with another value.

``fields_of`` walks a configuration and yields each field with its dotted path, value and annotations; ``check`` and
``identity`` are written on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints

from darts.config.ranges import FINITE, LARGEST, SEED, WIDEST, Range
from darts.config.types_in_words import fits, in_words
from darts.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


class Resume(Enum):
    """Whether a run may be resumed with another value of a field."""

    FREE = "the field changes nothing of what is computed, or nothing of a search: it may differ"


class Field(NamedTuple):
    """A field of a configuration."""

    path: str
    """Its dotted path, such as ``weights.lr``."""
    value: Any
    hint: Any
    """Its type, without annotations."""
    metadata: tuple[Any, ...]
    """The annotations beside its type: ranges, ``Resume.FREE``, and those of the command line."""


def fields_of(config: Any, prefix: str = "") -> Iterator[Field]:
    """Yield the fields of a configuration that are no configurations themselves, in the order of their declaration."""
    hints, plain = get_type_hints(type(config), include_extras=True), get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields_of(value, f"{prefix}{field.name}.")
        else:
            yield Field(prefix + field.name, value, plain[field.name], getattr(hints[field.name], "__metadata__", ()))


def replaced(config: C, values: Mapping[str, Any]) -> C:
    """Return a configuration with other values of some fields.

    Args:
        values: dotted path of a field -> its value.
    """
    for path, value in values.items():
        section, _, rest = path.partition(".")
        config = dataclasses.replace(
            config, **{section: replaced(getattr(config, section), {rest: value}) if rest else value}
        )
    return config


def check_ranges(config: Any) -> None:
    """Refuse the first value of another type than its field's, or number out of its range. Numbers are finite.

    A sequence of numbers is looked at number by number.

    Raises:
        UserError: naming the field, its value and what is allowed.
    """
    for field in fields_of(config):
        if not fits(field.hint, field.value):
            raise UserError(f"`{field.path}` is {str(field.value)[:60]!r}; it must be {in_words(field.hint, 'None')}")
        for number in field.value if isinstance(field.value, tuple) else (field.value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            ranges = [each for each in field.metadata if isinstance(each, Range)]
            limits = [] if SEED in ranges else [WIDEST] if isinstance(number, int) else [FINITE, LARGEST]
            for each in (*ranges, *limits):
                if not each.contains(number):
                    raise UserError(f"`{field.path}` is {_shortened(number)}; it must be {each.text}")


def _shortened(number: float) -> str:
    text = str(number)
    return text if len(text) <= 40 else f"{text[:20]}... (a number of {len(text)} digits)"
