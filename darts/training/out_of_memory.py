"""Out-of-memory errors: how they are recognized, and the repetition of what ran out of memory in smaller parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from darts.training.cuda_graph import capturing
from genotypes.errors import first_line

T = TypeVar("T")

OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",
    "could not create a primitive",
)
"""Error texts of libraries that have run out of memory; the last is oneDNN's."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device, or the machine, has no more memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY)


def retry_smaller(attempt: Callable[[], T], divide: Callable[[str], None]) -> T:
    """Return what the attempt returns; repeat it in smaller parts while memory runs out.

    Args:
        attempt: leaves everything as it was where it fails.
        divide: makes the parts of the next attempt smaller; is called with the error's text.

    Raises:
        UserError: of ``divide``, where the parts cannot be smaller.
    """
    while True:
        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or capturing():  # a captured graph would keep the failed attempt's launches
                raise
            reason = first_line(error, 100)
        # Outside the except clause: the error's frames hold the tensors that are to be freed.
        divide(reason)
