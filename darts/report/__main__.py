"""Reports of runs: report.html of one, also while it runs; comparison.html of several, with means over seeds.

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

from darts.cli import run_script
from darts.errors import UserError
from darts.report.compare import comparison_page, comparison_tables
from darts.report.page import run_page, write_report
from darts.report.records import read_record
from genotypes.atomic_write import write_atomically

LEAST_WIDTH = 110
"""Of a table, in characters: where the terminal is narrower, it breaks lines, but no figure is cut."""


@dataclass(frozen=True)
class ReportConfig:
    """What to report on."""

    runs: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")]]
    """Folders of runs."""
    output: Path | None = None
    """File to write; report.html in the run's folder, or comparison.html beside the first run's folder."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Parse, read, write, print."""
    config = tyro.cli(
        ReportConfig, prog="python -m darts.report", args=arguments, description=__doc__.partition("\n")[0]
    )
    if not config.runs:
        raise UserError("no run: give the folders of one or more, such as runs/*")
    records = [read_record(folder) for folder in dict.fromkeys(config.runs)]
    if len(records) > 1:
        output = config.output or config.runs[0].parent / "comparison.html"
        console.width = max(console.width, LEAST_WIDTH)
        for shown in comparison_tables(records):
            console.print(shown)
        write_atomically(output, comparison_page(records).encode(errors="replace"))
    elif config.output is not None:
        output = config.output
        write_atomically(output, run_page(records[0]).encode(errors="replace"))
    else:
        output = write_report(config.runs[0])
    console.print(f"in {output}", highlight=False)


if __name__ == "__main__":
    run_script(main)
