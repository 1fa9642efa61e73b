"""The frame of this package's commands: a mistake is one line and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

from genotypes.errors import InputError
from supernet.errors import SpaceError


def exit_code(main: Callable[[], bool | None], smaller: str) -> int:
    """Run a command and return its exit code: 0, 1 where it returns False, 2 after a mistake.

    Args:
        main: does the work.
        smaller: the options to lower where the memory is too small.
    """
    try:
        return int(main() is False)
    except InputError as error:
        message = str(error)
    except OSError as error:  # a full disk, a closed pipe, a program that is not there
        message = f"{error.filename or 'the output'}: {error.strerror or error}"
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        message = f"not enough memory; lower {smaller}"
    except KeyboardInterrupt:
        return 130
    print(f"error: {message}", file=sys.stderr)
    return 2


def require_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        SpaceError: naming the option ``--device``.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise SpaceError(f"--device is {device[:40]!r}; this machine has no such device") from None


def require_range(option: str, values: int | tuple[int, ...], least: int, most: int) -> None:
    """Refuse values of an option that are out of its range.

    Raises:
        SpaceError: naming the option.
    """
    if not all(least <= value <= most for value in (values if isinstance(values, tuple) else (values,))):
        raise SpaceError(f"{option} is {str(values)[:40]}; it must be {least} to {most}")
