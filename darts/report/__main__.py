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

from darts.artifacts.run_record import read_record
from darts.cli import run_script
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
    config = tyro.cli(
        ReportConfig, prog="python -m darts.report", args=arguments, description=str(__doc__).partition("\n")[0]
    )
    if not config.runs:
        raise UserError("no run: give the folders of one or more runs, such as runs/*")
    records = [read_record(folder) for folder in dict.fromkeys(config.runs)]
    if len(records) > 1:
        output = config.output or config.runs[0].parent / "comparison.html"
        console.width = max(console.width, MIN_WIDTH)
        for table in comparison_tables(records):
            console.print(table)
        write_atomically(output, comparison_page(records).encode(errors="replace"))
    elif config.output is not None:
        output = config.output
        write_atomically(output, run_page(records[0]).encode(errors="replace"))
    else:
        output = write_report(config.runs[0])
    console.print(f"in {output}", highlight=False)


if __name__ == "__main__":
    run_script(main)
