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
from darts.benchmarks.digits.rows import Row, heading, line_of, read_rows
from darts.benchmarks.digits.training import CPU, Protocol, trainer
from darts.benchmarks.workers import in_processes
from darts.errors import UserError
from darts.training.progress import LineTimer, Signals, duration, progress_bar
from supernet.bench.machine import machine


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


def jobs_of(part: Part, protocol: Protocol) -> list[Row]:
    """Return the trainings of a part in a fixed random order; all seeds of an architecture follow each other."""
    architectures = [str(genotype) for genotype in classes()]
    Random(0).shuffle(architectures)
    own = architectures[part.number - 1 :: part.count]
    return [(architecture, seed) for architecture in own for seed in protocol.seeds]


def build(
    out: Path, part: Part, *, processes: int, max_seconds: float | None, protocol: Protocol, console: Console
) -> int:
    """Train what the file does not hold yet; return how many trainings are left.

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
    wanted = jobs_of(part, protocol)
    jobs = [row for row in wanted if row not in rows.found]
    torch.set_num_threads(1)
    writer = LinesWriter(out)
    writer.write(heading(protocol, machine(CPU)))
    done, first, lines = 0, began, LineTimer(console)

    def report() -> str:
        speed = f"{(time.monotonic() - first) / done:.2f} s each" if done else "starting"
        left = duration((time.monotonic() - first) / done * (len(jobs) - done)) if done else "unknown time"
        return f"{len(wanted) - len(jobs) + done:,} of {len(wanted):,} trainings, {speed}, {left} left"

    with Signals() as signals, progress_bar(console) as bar:
        shown = bar.add_task("trainings", total=len(jobs), figures="")

        def stop() -> bool:
            late = max_seconds is not None and time.monotonic() - began > max_seconds
            return late or bool(signals.received)

        try:
            for found in in_processes(partial(trainer, protocol), jobs, processes, stop):
                if found is not None:
                    first = first if done else time.monotonic()
                    writer.write(line_of(*found))
                    done += 1
                    bar.update(shown, completed=done)
                if lines.due:
                    console.print(report(), highlight=False)
                    lines.printed()
        finally:
            writer.close()
    console.print(f"{report()}; in {out}", highlight=False)
    return len(jobs) - done
