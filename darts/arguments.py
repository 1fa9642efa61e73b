"""Arguments of the public functions: their types are checked, and errors name them in place of configuration fields."""

from __future__ import annotations

import dataclasses
import errno
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from darts.config.ranges import BETWEEN_0_AND_1, FINITE, POSITIVE, SEED, WIDEST, Range
from darts.errors import UserError
from darts.training.loop import Diverged

ARGUMENTS = {
    "method.name": "method",
    "run.device": "device",
    "run.name": "run",
    "study.storage": "run",
    "data.root": "x",
}
"""Configuration field -> the argument that sets it; others have the same name."""

FIELD = re.compile(r"`((?:method|run|space|study|data)\.\w+)`")

OF_A_METHOD = ", in a Python file that defines METHOD and is given as `method`"


P = ParamSpec("P")
R = TypeVar("R")

RANGES: dict[str, tuple[Range, ...]] = {
    "seed": (SEED,),
    "validation_split": (BETWEEN_0_AND_1,),
    **dict.fromkeys(
        ("batch_size", "epochs", "executions_per_trial", "folds", "patience", "trials"), (POSITIVE, WIDEST)
    ),
}
"""Argument of any function -> its ranges; functions check further ones by themselves."""

KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    NoneType: ("None", lambda value: value is None),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    str: ("text", lambda value: isinstance(value, str)),
    Path: ("a path", lambda value: isinstance(value, Path)),
    dict: ("a mapping", lambda value: isinstance(value, Mapping)),
    list: ("a list", lambda value: isinstance(value, list | tuple)),
    Sequence: ("a list", lambda value: isinstance(value, Sequence) and not isinstance(value, str)),
    Callable: ("a function", callable),
}
"""Type of an annotation -> its name in messages, and whether a value is of it; other types are not checked here."""


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function whose arguments are checked by their annotations, and whose errors name arguments."""
    hints = get_type_hints(function)
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*given: P.args, **named: P.kwargs) -> R:
        with in_arguments():
            bound = signature.bind(*given, **named)
            for name, value in bound.arguments.items():
                _check(name, value, hints.get(name, Any))
                if isinstance(value, np.number):
                    bound.arguments[name] = value.item()
            return function(*bound.args, **bound.kwargs)

    return checked


def require_one(**given: Any) -> None:
    """Refuse arguments of which only one can be given.

    Raises:
        UserError: naming the first two that are not None.
    """
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UserError(f"`{names[0]}` and `{names[1]}` are both given: leave out one of them")


def _check(name: str, value: Any, hint: Any) -> None:
    """Refuse an argument of another type than its annotation's; annotations with a type that is not known allow all.

    Raises:
        UserError: naming the argument, its value, and what it must be.
    """
    allowed = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [_kind(each) for each in allowed]
    known = [kind for kind in kinds if kind is not None]
    if len(known) == len(kinds) and not any(fits(value) for _, fits in known):
        words = [word for word, _ in known if word != "None"] + (["None"] if NoneType in allowed else [])
        raise UserError(f"`{name}` is {_shown(value)}; it must be {' or '.join(words)}")
    if isinstance(value, str) and "\0" in value:
        raise UserError(f"`{name}` is {_shown(value)}; no name holds a null character")
    if isinstance(value, Real) and not isinstance(value, bool):
        number: Any = value if isinstance(value, Integral) else float(value)
        for allowed_range in (FINITE, *RANGES.get(name, ())):
            if not allowed_range.contains(number):
                raise UserError(f"`{name}` is {_shown(value)}; it must be {allowed_range.text}")


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**100:
        return "a number of more than 100 digits"  # Python writes none of thousands
    text = repr(value).partition("\n")[0]
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(hint: Any) -> tuple[str, Callable[[Any], bool]] | None:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return f"a {hint.__name__}", lambda value: isinstance(value, hint)
    origin = get_origin(hint) or hint
    return KINDS.get(Callable if origin is get_origin(Callable[..., Any]) else origin)


@contextmanager
def in_arguments() -> Iterator[None]:
    """Raise a ``UserError`` within again, as an error of the same class whose message names arguments."""
    try:
        yield
    except UserError as error:
        message = " ".join(str(error).splitlines())  # a path may hold line breaks
        if isinstance(error, Diverged):
            cause = message.partition(";")[0]
            message = f"{cause}; look for NaN in `data`, or lower the learning rate: `weights` WeightsConfig(lr=0.01)"
        renamed = FIELD.sub(lambda match: f"`{ARGUMENTS.get(match[1], match[1])}`", message)
        if re.search(r"set `method\.", renamed):
            renamed += OF_A_METHOD
        if renamed == str(error):
            raise
        raise type(error)(renamed) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UserError(f"{str(error.filename)[:40]}...: {error.strerror}; give a shorter path") from None
