"""The build of the digits benchmark: all trainings that a file does not hold yet."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
from rich.console import Console

from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.json_lines import LinesWriter
from darts.benchmarks.digits.rows import heading, line_of, read_rows
from darts.benchmarks.digits.training import CPU, Protocol, Row, trainer
from darts.benchmarks.workers import in_processes
from darts.errors import UserError
from darts.training.progress import LineTimer, Signals, duration, progress_bar
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
    began = time.monotonic()
    rows = read_rows(out, protocol)
    stacks = stacks_of(part, protocol)
    jobs = [stack for stack in stacks if not rows.found.keys() >= set(stack)]
    total, left = sum(map(len, stacks)), sum(row not in rows.found for stack in jobs for row in stack)
    torch.set_num_threads(1)
    writer = LinesWriter(out)
    writer.write(heading(protocol, machine(CPU)))
    done, first, lines = 0, time.monotonic(), LineTimer(console)

    def report() -> str:
        speed = f"{(time.monotonic() - first) / done:.2f} s each" if done else "starting"
        rest = duration((time.monotonic() - first) / done * (left - done)) if done else "unknown time"
        return f"{total - left + done:,} of {total:,} trainings, {speed}, {rest} left"

    with Signals() as signals, progress_bar(console) as bar:
        shown = bar.add_task("trainings", total=left, figures="")

        def stop() -> bool:
            late = max_seconds is not None and time.monotonic() - began > max_seconds
            return late or bool(signals.received)

        try:
            for found in in_processes(partial(trainer, protocol), jobs, processes, stop):
                if found is not None:
                    new = [each for each in zip(*found) if each[0] not in rows.found]
                    writer.write(*(line_of(*each) for each in new))
                    done += len(new)
                    bar.update(shown, completed=done)
                if lines.due:
                    console.print(report(), highlight=False)
                    lines.printed()
        finally:
            writer.close()
    console.print(f"{report()}; in {out}", highlight=False)
    return left - done
