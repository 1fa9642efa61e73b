"""Strings of digits and their reverse: a translation that needs attention, made from a seed.

    python -m darts.reversed_digits FILE --count 4000 --seed 0

writes a file of pairs as ``--data.name pairs`` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated

import tyro
from rich.console import Console

from darts.config.command_line import parse_command
from darts.config.ranges import POSITIVE, SEED, at_most
from darts.errors import UserError

LENGTHS = 3, 7
"""Digits of the shortest and of the longest string."""

MOST = 1_000_000
"""Strings that can be asked for: there are few more that differ."""


def reversed_digits(count: int = 4000, seed: int = 0) -> list[tuple[str, str]]:
    """Return different strings of digits, separated by spaces, each with its reverse.

    Args:
        count: number of pairs, ``MOST`` at most.
        seed: of the strings.
    """
    random, found = Random(seed), dict[str, str]()
    while len(found) < count:
        digits = random.choices("0123456789", k=random.randint(*LENGTHS))
        found[" ".join(digits)] = " ".join(reversed(digits))
    return list(found.items())


@dataclass(frozen=True)
class ReversedDigits:
    """Options of the command."""

    file: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]]
    """File to write."""
    count: Annotated[int, POSITIVE, at_most(MOST)] = 4000
    """Number of pairs."""
    seed: Annotated[int, SEED] = 0
    """Seed of the strings."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Write the file.

    Raises:
        UserError: where it cannot be written, or the count is out of range.
    """
    options = parse_command(ReversedDigits, arguments, prog="python -m darts.reversed_digits")
    lines = [f"{source}\t{target}\n" for source, target in reversed_digits(options.count, options.seed)]
    try:
        options.file.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{options.file}: cannot be written ({error.strerror or error})") from None
    console.print(f"{options.count:,} pairs in {options.file}", highlight=False)
