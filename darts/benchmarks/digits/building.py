"""The build of the digits benchmark: all trainings that a file does not hold yet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
from rich.console import Console

from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.json_lines import LinesWriter
from darts.benchmarks.digits.rows import Rows, heading, line_of, read_rows
from darts.benchmarks.digits.training import CPU, Protocol, Row, trainer
from darts.benchmarks.workers import worked_off
from darts.errors import UserError
from supernet.bench.machine import machine

SIDE_BY_SIDE = 66
"""Networks that are trained together: more have less of the operations' overhead each."""


@dataclass(frozen=True)
class Part:
    """One of equal parts of all trainings.

    Attributes:
        number: from 1 to ``count``.
        count: of parts.
    """

    number: int
    count: int


def part_of(text: str) -> Part:
    """Return the part of a text such as 3/16.

    Raises:
        UserError: where it is no such text.
    """
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--part is {text[:40]!r}; it must be a part and their number, such as 3/16")
    return Part(int(match[1]), int(match[2]))


def stacks_of(part: Part, protocol: Protocol) -> list[tuple[Row, ...]]:
    """Return the trainings of a part, as they are made side by side; the same stacks whatever the parts are.

    Architectures come in a fixed random order; all seeds of one follow each other.
    """
    architectures = [str(genotype) for genotype in classes()]
    Random(0).shuffle(architectures)
    rows = [(architecture, seed) for architecture in architectures for seed in protocol.seeds]
    stacks = [tuple(rows[first : first + SIDE_BY_SIDE]) for first in range(0, len(rows), SIDE_BY_SIDE)]
    return stacks[part.number - 1 :: part.count]


def jobs_of(part: Part, protocol: Protocol) -> list[Row]:
    """Return the trainings of a part."""
    return [row for stack in stacks_of(part, protocol) for row in stack]


def build(
    out: Path, part: Part, *, processes: int, max_seconds: float | None, protocol: Protocol, console: Console
) -> int:
    """Train what the file does not hold yet; return how many trainings are left.

    A stack of which the file holds a part, after a kill, is trained again, and the others are added.

    Args:
        out: the file that is continued, or begun.
        part: whose trainings are made.
        processes: of one thread each.
        max_seconds: after which it stops; None for no limit.
        protocol: of the trainings.
        console: shows progress and time left.
    """
    rows = read_rows(out, protocol)
    stacks = stacks_of(part, protocol)
    jobs = [stack for stack in stacks if not rows.found.keys() >= set(stack)]
    torch.set_num_threads(1)
    writer, left = LinesWriter(out), sum(_new(stack, rows) for stack in jobs)
    writer.write(heading(protocol, machine(CPU)))
    total = sum(map(len, stacks))
    console.print(f"{total - left:,} of {total:,} trainings are in {out}", highlight=False)
    with closing(writer):
        for found in worked_off(
            partial(trainer, protocol),
            jobs,
            processes,
            things="trainings",
            console=console,
            max_seconds=max_seconds,
            size=lambda stack: _new(stack, rows),
        ):
            writer.write(*(line_of(*each) for each in zip(*found) if each[0] not in rows.found))
            left -= _new(found[0], rows)
    return left


def _new(stack: Sequence[Row], rows: Rows) -> int:
    """Return how many trainings of a stack are not in a file."""
    return sum(row not in rows.found for row in stack)
