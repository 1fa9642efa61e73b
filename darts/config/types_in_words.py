"""The types of configuration fields, as a message names them."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

NAMES = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}


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
    return NAMES[hint]
