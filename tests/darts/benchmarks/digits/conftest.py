"""A table of the digits benchmark whose figures are computed, not trained."""

import json

import pytest
from rich.console import Console

from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.json_lines import LinesWriter
from darts.benchmarks.digits.merging import merge
from darts.benchmarks.digits.rows import heading, line_of
from darts.benchmarks.digits.training import PROTOCOL, Training

QUIET = Console(quiet=True)


def made_up(architecture, seed):
    """Figures that grow with the number of 3x3 convolutions."""
    correct = tuple(40 * architecture.count("3x3") + seed + epoch for epoch in range(PROTOCOL.epochs))
    losses = tuple(round(2.3 / (1 + count), 4) for count in correct)
    return Training(0.5, 0.25, correct, losses, tuple(2 * count for count in correct), losses)


def write_rows(path, rows, machine="here"):
    writer = LinesWriter(path)
    writer.write(heading(PROTOCOL, {"device": machine}))
    for row in rows:
        writer.write(line_of(row, made_up(*row)))
    writer.close()


def write_latencies(path, architectures):
    batch = {"machine": {}, "reference": 2.0, "ms": {name: 1.0 for name in architectures}, "spread": 0.0}
    path.write_text(json.dumps(batch) + "\n")


@pytest.fixture(scope="session")
def made_up_table(tmp_path_factory):
    """The folder of a whole table."""
    folder = tmp_path_factory.mktemp("digits201")
    names = [str(genotype) for genotype in classes()]
    write_rows(folder / "a.jsonl", [(name, seed) for name in names for seed in PROTOCOL.seeds])
    write_latencies(folder / "l.jsonl", names)
    merge((folder / "a.jsonl",), folder / "l.jsonl", folder / "table", protocol=PROTOCOL, console=QUIET)
    return folder / "table"
