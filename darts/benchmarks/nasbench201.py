"""Tabular benchmarks: the exact figures of every architecture of NAS-Bench-201, looked up (Dong and Yang 2020).

    python -m darts.table show STRING --table FILE       all figures of one architecture
    python -m darts.table best --table FILE              the best ones, by test accuracy
    python -m darts.table rank RUN... --table FILE       what searches found: true accuracy, rank, regret

The table is a CSV file with a header, in text; nothing is unpickled. Columns:

* ``arch_str``: the architecture string; each of the 15,625 once.
* ``<data>_valid_acc``, ``<data>_test_acc`` for ``cifar10``, ``cifar100``, ``imagenet16``: percent, mean over seeds,
  trained for 200 epochs; with ``_12ep`` behind it, for 12 epochs.
* ``params_<data>``, ``mflops_<data>``: weights, and millions of multiply-adds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from darts.artifacts.run_folder import read_config
from darts.errors import UserError
from genotypes.formats.registry import find
from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBench201Genotype, from_string

ARCHITECTURES = len(NASBENCH201_OPS) ** len(EDGES)
DATA = ("cifar10", "cifar100", "imagenet16")
EPOCHS = {200: "", 12: "_12ep"}
"""Training length -> how its columns end."""


@dataclass(frozen=True)
class Standing:
    """Where an architecture stands among all.

    Attributes:
        valid_accuracy, test_accuracy: true ones, shares of 1.
        rank: by test accuracy, from 1; equals share the best rank.
        regret: test accuracy of the best architecture less this one's.
    """

    valid_accuracy: float
    test_accuracy: float
    rank: int
    regret: float

    @property
    def told(self) -> str:
        """On one line."""
        accuracies = f"{100 * self.valid_accuracy:.2f} % validation, {100 * self.test_accuracy:.2f} % test"
        rank = f"rank {self.rank:,} of {ARCHITECTURES:,}, regret {100 * self.regret:.2f} %"
        return f"true accuracy {accuracies}, {rank}"

    @property
    def figures(self) -> dict[str, float]:
        """As a run logs them. Their names do not end as a run's own accuracies do."""
        return {
            "true_valid_accuracy": self.valid_accuracy,
            "true_test_accuracy": self.test_accuracy,
            "true_rank": self.rank,
            "true_regret": self.regret,
        }


class Benchmark:
    """The table in memory: one line of text for each architecture, columns parsed when they are first asked for.

    Raises:
        UserError: where the file is not such a table.
    """

    def __init__(self, path: Path):
        try:
            header, *lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"--table {path}: not a readable CSV file ({str(error)[:80]})") from None
        self.path, self.columns = path, header.split(",")
        if "arch_str" not in self.columns:
            raise UserError(f"--table {path}: its first line has no column arch_str")
        key = self.columns.index("arch_str")
        self._lines = {line.split(",", key + 1)[key]: line for line in lines if line.count(",") >= key}
        if len(self._lines) != ARCHITECTURES:
            raise UserError(f"--table {path}: {len(self._lines)} architectures; all {ARCHITECTURES} are needed")
        self._sorted: dict[str, list[float]] = {}

    def row(self, genotype: NASBench201Genotype) -> dict[str, str]:
        """All that the table says of one architecture, as text."""
        return dict(zip(self.columns, self._line(genotype).split(",")))

    def value(self, genotype: NASBench201Genotype, column: str) -> float:
        """One figure of one architecture."""
        return self._number(self._line(genotype), self._place(column))

    def ranked(self, column: str) -> list[float]:
        """All values of a column, the largest first."""
        if column not in self._sorted:
            place = self._place(column)
            self._sorted[column] = sorted((self._number(line, place) for line in self._lines.values()), reverse=True)
        return self._sorted[column]

    def best(self, column: str, count: int) -> list[NASBench201Genotype]:
        """The architectures of the largest values."""
        place = self._place(column)
        names = sorted(self._lines, key=lambda name: -self._number(self._lines[name], place))
        return [from_string(name) for name in names[:count]]

    def standing(self, genotype: NASBench201Genotype, data: str, epochs: int = 200) -> Standing:
        """Where an architecture stands on a data set, after a training of so many epochs."""
        valid, test = (f"{data}_{split}_acc{EPOCHS[epochs]}" for split in ("valid", "test"))
        accuracy, ranked = self.value(genotype, test), self.ranked(test)
        rank = 1 + bisect_left(ranked, -accuracy, key=lambda value: -value)
        return Standing(self.value(genotype, valid) / 100, accuracy / 100, rank, (ranked[0] - accuracy) / 100)

    def _line(self, genotype: NASBench201Genotype) -> str:
        if str(genotype) not in self._lines:
            raise UserError(f"--table {self.path}: no line of {genotype}")
        return self._lines[str(genotype)]

    def _place(self, column: str) -> int:
        if column not in self.columns:
            raise UserError(f"--table {self.path}: no column {column}")
        return self.columns.index(column)

    def _number(self, line: str, place: int) -> float:
        values = line.split(",")
        try:
            number = float(values[place])
        except (ValueError, IndexError):
            number = math.nan
        if not math.isfinite(number):
            architecture = values[self.columns.index("arch_str")]
            raise UserError(f"--table {self.path}: no number in column {self.columns[place]} of {architecture[:90]}")
        return number


def benchmark_for(path: Path, space: str | None, data: str) -> Benchmark:
    """The table for a search's results.

    Raises:
        UserError: where it says nothing of the space or the data set.
    """
    if space != "nasbench201" or data not in DATA:
        known = f"it knows nasbench201 on {', '.join(DATA)}"
        raise UserError(f"--table {path}: says nothing of space {space} on {data}; {known}")
    return Benchmark(path)


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
    """How many."""


@dataclass(frozen=True)
class Rank:
    """What searches found: true accuracy, rank and regret of each run's cell."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of searches, genotype files, or architecture strings."""
    table: Path
    """The CSV file."""
    data: str | None = None
    """cifar10, cifar100 or imagenet16; by default what the run searched on."""
    epochs: int = 200
    """Length of the training whose accuracy is told: 200 or 12."""


Command = (
    Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Best, tyro.conf.subcommand("best")]
    | Annotated[Rank, tyro.conf.subcommand("rank")]
)


def main(arguments: Sequence[str], console: Console) -> None:
    """Look up, print."""
    command = tyro.cli(
        Command, prog="python -m darts.table", args=arguments, config=(tyro.conf.OmitSubcommandPrefixes,)
    )
    data, epochs = getattr(command, "data", None), getattr(command, "epochs", 200)
    if data not in (None, *DATA) or epochs not in EPOCHS:
        allowed = f"--data must be one of {', '.join(DATA)}, --epochs {' or '.join(map(str, EPOCHS))}"
        raise UserError(f"data {data}, epochs {epochs}: {allowed}")
    benchmark = Benchmark(command.table)
    if isinstance(command, Show):
        _print_row(benchmark, architecture(command.architecture), console)
    elif isinstance(command, Best):
        column = f"{command.data}_test_acc{EPOCHS[command.epochs]}"
        found = {str(k): (g, command.data) for k, g in enumerate(benchmark.best(column, command.count), 1)}
        _print_standings(benchmark, found, command.epochs, console)
    else:
        found = {run: (architecture(run), command.data or _searched_on(run)) for run in command.runs}
        _print_standings(benchmark, found, command.epochs, console)


def architecture(name: str) -> NASBench201Genotype:
    """An architecture by its string, its file, or the folder of the run that found it.

    Raises:
        UserError: where it is of another space.
    """
    genotype = find(name)
    if not isinstance(genotype, NASBench201Genotype):
        raise UserError(f"{name}: not an architecture of NAS-Bench-201, so the table does not hold it")
    return genotype


def _searched_on(run: str) -> str:
    data: dict[str, Any] = read_config(Path(run)).get("config", {}).get("data", {}) if not run.startswith("|") else {}
    return data["name"] if data.get("name") in DATA else DATA[0]


def _print_row(benchmark: Benchmark, genotype: NASBench201Genotype, console: Console) -> None:
    row = benchmark.row(genotype)
    lines = [("", "valid", "test", "valid 12 ep", "test 12 ep", "rank", "regret", "weights", "M multiply-adds")]
    for data in DATA:
        accuracies = [row[f"{data}_{split}_acc{end}"] for end in EPOCHS.values() for split in ("valid", "test")]
        standing = benchmark.standing(genotype, data)
        cost = f"{int(row[f'params_{data}']):,}", row[f"mflops_{data}"]
        lines.append((data, *accuracies, str(standing.rank), f"{100 * standing.regret:.3f}", *cost))
    _print_lines(str(genotype), lines, console)


def _print_standings(
    benchmark: Benchmark, found: dict[str, tuple[NASBench201Genotype, str]], epochs: int, console: Console
) -> None:
    lines = [("", "data", "valid", "test", "rank", "regret", "architecture")]
    for name, (genotype, data) in found.items():
        s = benchmark.standing(genotype, data, epochs)
        accuracies = f"{100 * s.valid_accuracy:.3f}", f"{100 * s.test_accuracy:.3f}"
        lines.append(
            (
                "" if name.startswith("|") else name,
                data,
                *accuracies,
                str(s.rank),
                f"{100 * s.regret:.3f}",
                str(genotype),
            )
        )
    _print_lines(f"accuracy in percent after {epochs} epochs; rank among {ARCHITECTURES:,}", lines, console)


def _print_lines(title: str, lines: Sequence[Sequence[str]], console: Console) -> None:
    """Columns as wide as their entries. Architecture strings are longer than a terminal: nothing is cut."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    console.print(title, highlight=False, markup=False)
    for line in lines:
        texts = [entry.rjust(width) for entry, width in zip(line, widths)]
        texts[0] = line[0].ljust(widths[0])
        texts[-1] = line[-1] if line[-1][:1].isalpha() or line[-1].startswith("|") else texts[-1]
        console.print("  ".join(texts).rstrip(), highlight=False, markup=False)
