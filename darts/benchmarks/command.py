"""The command line of NAS-Bench-201's table.

python -m darts.table show STRING --table FILE       all figures of one architecture
python -m darts.table best --table FILE              the best ones, by test accuracy
python -m darts.table rank RUN... --table FILE       the results of searches: true accuracy, rank, regret
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from darts.artifacts.run_folder import read_config
from darts.benchmarks.nasbench201 import ARCHITECTURES, DATA, EPOCHS, NASBench201
from darts.config.command_line import parse_command
from darts.errors import UserError
from genotypes import load
from genotypes.types.nasbench201 import NASBench201Genotype

RECORDED = ("train s", "latency ms")
"""What the table may have recorded besides accuracies: seconds of 200 epochs, milliseconds of a forward pass."""


@dataclass(frozen=True)
class Show:
    """All figures of one architecture."""

    architecture: tyro.conf.Positional[str]
    """An architecture string, a genotype file, or a run's folder."""
    table: Path
    """The CSV file."""


@dataclass(frozen=True)
class Best:
    """The best architectures of the table."""

    table: Path
    """The CSV file."""
    data: str = "cifar10"
    """cifar10, cifar100 or imagenet16."""
    epochs: int = 200
    """Length of their training: 200 or 12."""
    count: int = 10
    """Number of architectures."""


@dataclass(frozen=True)
class Rank:
    """The results of searches: true accuracy, rank and regret of each run's cell."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of searches, genotype files, or architecture strings."""
    table: Path
    """The CSV file."""
    data: str | None = None
    """cifar10, cifar100 or imagenet16; by default the data set of the search."""
    epochs: int = 200
    """Length of the training whose accuracy is shown: 200 or 12."""


Command = (
    Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Best, tyro.conf.subcommand("best")]
    | Annotated[Rank, tyro.conf.subcommand("rank")]
)


def main(arguments: Sequence[str], console: Console) -> None:
    """Look up, and print."""
    command: Show | Best | Rank = parse_command(
        Command,  # type: ignore[arg-type]  # a union of annotated types
        arguments,
        prog="python -m darts.table",
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )
    if not isinstance(command, Show):
        _check(command.data, command.epochs)
    benchmark = NASBench201(command.table)
    if isinstance(command, Show):
        _print_line(benchmark, architecture(command.architecture), console)
    elif isinstance(command, Best):
        best = benchmark.best(command.data, command.epochs, command.count)
        named = [(str(place), genotype, command.data) for place, genotype in enumerate(best, 1)]
        _print_standings(benchmark, named, command.epochs, console)
    else:
        named = [(run, architecture(run), command.data or _searched_on(run)) for run in command.runs]
        _print_standings(benchmark, named, command.epochs, console)


def _check(data: str | None, epochs: int) -> None:
    if data not in (None, *DATA) or epochs not in EPOCHS:
        allowed = f"--data must be one of {', '.join(DATA)}, --epochs {' or '.join(map(str, EPOCHS))}"
        raise UserError(f"data {data}, epochs {epochs}: {allowed}")


def architecture(name: str) -> NASBench201Genotype:
    """Return an architecture by its string, its file, or the folder of the run that found it.

    Raises:
        UserError: where it is of another space.
    """
    genotype = load(name)
    if not isinstance(genotype, NASBench201Genotype):
        raise UserError(f"{name}: not an architecture of NAS-Bench-201, so the table does not hold it")
    return genotype


def recorded(benchmark: NASBench201, genotype: NASBench201Genotype, data: str) -> tuple[str, str]:
    """Return the recorded seconds of the training for 200 epochs, and the latency in milliseconds; empty where the
    table has none."""
    columns = f"{data}_train_seconds", f"{data}_latency_seconds"
    scales = 1.0, 1e3
    values = [
        scale * benchmark.table.value(str(genotype), column) if column in benchmark.table.columns else None
        for column, scale in zip(columns, scales)
    ]
    seconds, latency = values
    return "" if seconds is None else f"{seconds:,.0f}", "" if latency is None else f"{latency:.2f}"


def _searched_on(run: str) -> str:
    """Return the data set of a search, cifar10 where that is not known."""
    config: Any = None if run.startswith("|") else read_config(Path(run)).get("config")
    data = config.get("data") if isinstance(config, dict) else None
    name = data.get("name") if isinstance(data, dict) else None
    return name if name in DATA else DATA[0]


def _print_line(benchmark: NASBench201, genotype: NASBench201Genotype, console: Console) -> None:
    lines: list[tuple[str, ...]] = [
        ("", "valid", "test", "valid 12 ep", "test 12 ep", "rank", "regret", "weights", "M multiply-adds", *RECORDED)
    ]
    texts = benchmark.table.line(str(genotype))
    for data in DATA:
        accuracies = [texts[f"{data}_{split}_acc{end}"] for end in EPOCHS.values() for split in ("valid", "test")]
        standing = benchmark.standing(genotype, data)
        rank = str(standing.rank), f"{100 * standing.regret:.3f}"
        lines.append(
            (
                data,
                *accuracies,
                *rank,
                f"{benchmark.query(genotype, data).values['parameters']:,.0f}",
                texts[f"mflops_{data}"],
                *recorded(benchmark, genotype, data),
            )
        )
    _print_columns(str(genotype), lines, console)


def _print_standings(
    benchmark: NASBench201, named: Sequence[tuple[str, NASBench201Genotype, str]], epochs: int, console: Console
) -> None:
    lines: list[tuple[str, ...]] = [("", "data", "valid", "test", "rank", "regret", *RECORDED, "architecture")]
    for name, genotype, data in named:
        standing = benchmark.standing(genotype, data, epochs)
        shares = standing.valid_accuracy, standing.test_accuracy
        accuracies = [f"{100 * share:.3f}" for share in shares]
        rank = str(standing.rank), f"{100 * standing.regret:.3f}"
        lines.append(
            (
                "" if name.startswith("|") else name,
                data,
                *accuracies,
                *rank,
                *recorded(benchmark, genotype, data),
                str(genotype),
            )
        )
    _print_columns(f"accuracy in percent after {epochs} epochs; rank among {ARCHITECTURES:,}", lines, console)


def _print_columns(title: str, lines: Sequence[Sequence[str]], console: Console) -> None:
    """Print columns as wide as their entries. Architecture strings are longer than a terminal: nothing is cut."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    console.print(title, highlight=False, markup=False)
    for line in lines:
        texts = [entry.rjust(width) for entry, width in zip(line, widths)]
        texts[0] = line[0].ljust(widths[0])
        texts[-1] = line[-1] if line[-1][:1].isalpha() or line[-1].startswith("|") else texts[-1]
        console.print("  ".join(texts).rstrip(), highlight=False, markup=False)
