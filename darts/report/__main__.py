"""Write a report of a run (report.html, also while it runs) or a comparison of several runs (comparison.html).

python -m darts.report runs/NAME
python -m darts.report runs/A runs/B ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from darts.artifacts.run_record import is_run, read_record
from darts.cli import run_script
from darts.config.command_line import parse_command
from darts.errors import UserError
from darts.report.compare import comparison_page, comparison_tables
from darts.report.page import run_page, write_report
from genotypes.atomic_write import write_atomically

MIN_WIDTH = 110
"""Width of a printed table in characters: a narrower terminal breaks its lines, but no figure is cut."""


@dataclass(frozen=True)
class ReportConfig:
    """The options of the command."""

    runs: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")]]
    """Folders of runs."""
    output: Path | None = None
    """File to write; report.html in the run's folder, or comparison.html beside the first run's folder."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Read the runs, write the page, print the tables."""
    config = parse_command(
        ReportConfig, arguments, prog="python -m darts.report", description=(__doc__ or "").partition("\n")[0]
    )
    if not config.runs:
        raise UserError("no run: give the folders of one or more runs, such as runs/*")
    folders = list(dict.fromkeys(config.runs))
    if len(folders) > 1:  # of "runs/*", what else stands there is passed over, such as the comparison of the last time
        folders = [folder for folder in folders if is_run(folder)]
        if not folders:
            raise UserError(f"{config.runs[0].parent}: none of these is the folder of a run")
    records = [read_record(folder) for folder in folders]
    if len(records) > 1:
        output = config.output or folders[0].parent / "comparison.html"
        console.width = max(console.width, MIN_WIDTH)
        for table in comparison_tables(records):
            console.print(table)
        _write(output, comparison_page(records))
    elif config.output is not None:
        output = config.output
        _write(output, run_page(records[0]))
    else:
        output = _report(folders[0])
    console.print(f"in {output}", highlight=False)


def _write(path: Path, page: str) -> None:
    try:
        write_atomically(path, page.encode(errors="replace"))
    except OSError as error:
        raise UserError(_advice(path, error)) from None


def _report(folder: Path) -> Path:
    try:
        return write_report(folder)
    except OSError as error:
        raise UserError(_advice(folder, error)) from None


def _advice(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written to ({error.strerror or error}); give --output a file elsewhere"


if __name__ == "__main__":
    run_script(main)
