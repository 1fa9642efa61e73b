"""Errors in the words of Python's functions: messages name configuration fields, which a caller gives as arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def in_arguments() -> Iterator[None]:
    """Raise a ``UserError`` within again, as an error of the same class whose message names arguments."""
    try:
        yield
    except UserError as error:
        message = str(error)
        if isinstance(error, Diverged):
            cause = message.partition(";")[0]
            message = f"{cause}; look for NaN in `data`, or lower the learning rate: `weights` WeightsConfig(lr=0.01)"
        renamed = FIELD.sub(lambda match: f"`{ARGUMENTS.get(match[1], match[1])}`", message)
        if re.search(r"set `method\.", renamed):
            renamed += OF_A_METHOD
        if renamed == str(error):
            raise
        raise type(error)(renamed) from None
