"""The table of the digits benchmark from the files of its trainings and latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from darts.benchmarks.digits.building import Part, jobs_of
from darts.benchmarks.digits.checking import figures
from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.latency import read_batches, read_latencies
from darts.benchmarks.digits.rows import read_rows
from darts.benchmarks.digits.table import write_table
from darts.benchmarks.digits.training import Protocol, Row, Training
from darts.errors import UserError


def merge(parts: Sequence[Path], latencies: Path, folder: Path, *, protocol: Protocol, console: Console) -> None:
    """Write the table.

    Args:
        parts: files of trainings; of a training that is in several, the first one's is taken.
        latencies: file of latencies.
        folder: of the table.
        protocol: of all trainings.
        console: gets a line of what was written.

    Raises:
        UserError: where a training or a latency is missing, or two of one machine disagree.
    """
    machines: list[Any] = []
    found: dict[Row, tuple[Training, int]] = {}
    for path in parts:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        rows = read_rows(path, protocol)
        for row, training in rows.found.items():
            made = rows.machines[row]
            if made not in machines:
                machines.append(made)
            known, index = found.setdefault(row, (training, machines.index(made)))
            if index == machines.index(made) and figures(known) != figures(training):
                raise UserError(f"{path}: {row[0]}, seed {row[1]}: differs from another training on the same machine")
    wanted = jobs_of(Part(1, 1), protocol)
    missing = [row for row in wanted if row not in found]
    if missing:
        raise UserError(f"{len(missing):,} of {len(wanted):,} trainings are missing; run build, and name its file too")
    ms = read_latencies(latencies)
    unmeasured = [genotype for genotype in classes() if str(genotype) not in ms]
    if unmeasured:
        raise UserError(f"{latencies}: {len(unmeasured):,} latencies are missing; run latency until none is")
    lines: list[dict[str, Any]] = []
    space = protocol.space
    for smallest, members in sorted(classes().items(), key=lambda each: str(each[0])):
        for genotype in members:
            lines.append(
                {
                    "architecture": str(genotype),
                    "smallest": str(smallest),
                    "parameters": space.parameters(genotype),
                    "multiply_adds": space.multiply_adds(genotype),
                    "latency_ms": ms[str(smallest)],
                }
            )
    about = {
        "protocol": asdict(protocol),
        "machines": machines,
        "latency_machine": read_batches(latencies)[-1]["machine"],
    }
    write_table(folder, {row: found[row] for row in sorted(wanted)}, lines, about)
    console.print(f"{len(wanted):,} trainings of {len(classes()):,} classes, {len(lines):,} architectures in {folder}")
