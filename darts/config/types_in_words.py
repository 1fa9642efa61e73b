"""The types of fields and arguments: whether a plain value fits one, and how a message names it."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

NAMES = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}


def members(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union; of any other type, it alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def fits(hint: Any, value: Any) -> bool:
    """Whether a value can be one of a type: a whole number is also a number, a text a path, and a list a tuple."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(each, value) for each in inner)
    if origin is Annotated:
        return fits(inner[0], value)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        right_length = inner[-1] is Ellipsis or (isinstance(value, list | tuple) and len(value) == len(inner))
        return isinstance(value, list | tuple) and right_length and all(fits(inner[0], item) for item in value)
    if hint in (float, int) and isinstance(value, bool):
        return False
    accepted: dict[Any, Any] = {float: (float, int), Path: (Path, str)}
    return isinstance(value, accepted.get(hint, hint))


def in_words(hint: Any, none: str = "null") -> str:
    """Return a type as a message names it.

    Args:
        none: how the place that the value is from writes ``None``: ``null`` in JSON, ``None`` on the command line.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is NoneType:
        return none
    if origin in (Union, UnionType):
        return " or ".join(in_words(each, none) for each in inner)
    if origin is Literal:
        return f"one of {', '.join(inner)}"
    if origin is tuple:
        count = "" if inner[-1] is Ellipsis else f" of {len(inner)}"
        return f"a list{count}, each {in_words(inner[0], none)}"
    return NAMES.get(hint, f"a {hint.__name__}")
