"""The command line of the digits benchmark.

python -m darts.benchmarks.digits build                            all trainings, with every core; continues its file
python -m darts.benchmarks.digits build --part 3/16 --out FILE     a part, on another machine
python -m darts.benchmarks.digits pilot                            compares protocols on a sample of architectures
python -m darts.benchmarks.digits latency                          times a forward pass of every network
python -m darts.benchmarks.digits merge runs/digits201.jsonl       writes the table that comes with the project
python -m darts.benchmarks.digits check                            trains a sample of rows again
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from darts.benchmarks.digits.building import build, part_of
from darts.benchmarks.digits.checking import check
from darts.benchmarks.digits.classes import CLASSES
from darts.benchmarks.digits.latency import measure_all
from darts.benchmarks.digits.merging import merge
from darts.benchmarks.digits.pilot import CANDIDATES, FEWEST, pilot
from darts.benchmarks.digits.rows import read_rows
from darts.benchmarks.digits.table import FOLDER
from darts.benchmarks.digits.training import PROTOCOL
from darts.config.command_line import parse_command
from darts.config.ranges import POSITIVE, Range
from darts.errors import UserError


@dataclass(frozen=True)
class Build:
    """Train every architecture that the file does not hold yet."""

    out: Path = Path("runs/digits201.jsonl")
    """File of the trainings, which is continued where it exists."""
    part: str = "1/1"
    """Part of all trainings, such as 3/16; parts can be made on different machines."""
    processes: Annotated[int | None, POSITIVE] = None
    """Processes of one thread each; by default one for each core."""
    max_seconds: Annotated[float | None, POSITIVE] = None
    """Stop after this time; the same command continues."""


@dataclass(frozen=True)
class Check:
    """Train a sample of the rows again and compare."""

    file: Path = Path("runs/digits201.jsonl")
    """File of trainings, as ``build`` writes it."""
    count: Annotated[int, POSITIVE] = 50
    """Size of the sample."""
    processes: Annotated[int | None, POSITIVE] = None
    """Processes of one thread each; by default one for each core."""


@dataclass(frozen=True)
class Pilot:
    """Compare protocols: how well do they tell a sample of architectures apart?"""

    out: Path = Path("runs/digits201_protocols.json")
    """File of the results, which is continued where it exists."""
    count: Annotated[int, Range(f"from {FEWEST} to {CLASSES}", range(FEWEST, CLASSES + 1).__contains__)] = 150
    """Architectures of the sample."""
    processes: Annotated[int | None, POSITIVE] = None
    """Processes of one thread each; by default one for each core."""
    max_seconds: Annotated[float, POSITIVE] = 3600.0
    """Begin no further protocol after this time; the same command continues."""


@dataclass(frozen=True)
class Latency:
    """Time a forward pass of every network, with one thread of this process; the machine should be quiet."""

    out: Path = Path("runs/digits201_latency.jsonl")
    """File of the latencies, which is continued where it exists."""
    max_seconds: Annotated[float | None, POSITIVE] = None
    """Begin no further batch of networks after this time; the same command continues."""


@dataclass(frozen=True)
class Merge:
    """Write the table from the files of trainings and latencies."""

    parts: tyro.conf.Positional[tuple[Path, ...]]
    """Files of trainings."""
    latencies: Path = Path("runs/digits201_latency.jsonl")
    """File of latencies."""
    folder: Path = FOLDER
    """Folder of the table."""


Command = (
    Annotated[Build, tyro.conf.subcommand("build")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Pilot, tyro.conf.subcommand("pilot")]
    | Annotated[Latency, tyro.conf.subcommand("latency")]
    | Annotated[Merge, tyro.conf.subcommand("merge")]
)


def main(arguments: Sequence[str], console: Console) -> None:
    """Run a subcommand."""
    command: Any = parse_command(
        Command,  # type: ignore[arg-type]  # a union of annotated types
        arguments,
        prog="python -m darts.benchmarks.digits",
        description=__doc__,
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )
    if isinstance(command, Latency):
        left = measure_all(command.out, protocol=PROTOCOL, max_seconds=command.max_seconds, console=console)
        console.print(f"{left:,} networks are left; in {command.out}", highlight=False)
        return
    if isinstance(command, Merge):
        merge(command.parts, command.latencies, command.folder, protocol=PROTOCOL, console=console)
        return
    processes = command.processes if command.processes is not None else len(os.sched_getaffinity(0))
    if isinstance(command, Build):
        build(
            command.out,
            part_of(command.part),
            processes=processes,
            max_seconds=command.max_seconds,
            protocol=PROTOCOL,
            console=console,
        )
    elif isinstance(command, Pilot):
        pilot(
            command.out,
            count=command.count,
            processes=processes,
            max_seconds=command.max_seconds,
            protocols=CANDIDATES,
            console=console,
        )
    else:
        _check(command, processes, console)


def _check(command: Check, processes: int, console: Console) -> None:
    rows = read_rows(command.file, PROTOCOL)
    if not rows.found:
        raise UserError(f"--file is {command.file}; it holds no trainings")
    found = check(rows.found, count=command.count, processes=processes, protocol=PROTOCOL, console=console)
    console.print(
        f"{found.equal} of {found.compared} trainings agree in every figure; test accuracy differs by "
        f"{100 * found.difference:.2f} % on average, by {100 * found.largest:.2f} % at most",
        highlight=False,
    )
