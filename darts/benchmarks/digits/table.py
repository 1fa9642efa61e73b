"""Digits-201: the digits benchmark's table, which comes with the project.

Three files in ``table/``: ``trainings.csv.xz``, a line for each class of equal cells and seed;
``architectures.csv.xz``, a line for each of the 15,625 architectures; ``about.json``, the protocol and the machines.
Their columns:

* ``architecture``: the class's smallest cell; ``seed``; ``machine``: index in ``about.json``; ``seconds`` of the
  training, ``evaluation_seconds``; ``valid_correct``, ``test_correct``: numbers of correctly classified images;
  ``valid_loss``, ``test_loss``: mean cross-entropy; one number for each epoch, separated by spaces.
* ``architecture``; ``smallest``: the class's smallest cell; ``parameters``, ``multiply_adds``: of the architecture's
  own network; ``latency_ms``: of a forward pass of one image by the network of the smallest cell, one thread.

Axes: ``n`` class, ``s`` seed, ``t`` epoch.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from darts.benchmarks.digits.training import PROTOCOL, TEST_IMAGES, Protocol, Row, Training
from darts.benchmarks.protocol import Benchmark, Score
from darts.benchmarks.standing import Standing, standing
from darts.data.readers import DIGITS201_VALID
from darts.errors import UserError
from genotypes import Genotype
from genotypes.atomic_write import write_atomically
from genotypes.types.nasbench201 import NASBench201Genotype, from_string

FOLDER = Path(__file__).parent / "table"
"""Of the files that come with the project."""

TRAININGS, ARCHITECTURES, ABOUT = "trainings.csv.xz", "architectures.csv.xz", "about.json"
COUNTS = ("valid_correct", "test_correct")
LOSSES = ("valid_loss", "test_loss")
SERIES = ("valid_correct", "valid_loss", "test_correct", "test_loss")
SECONDS = ("seconds", "evaluation_seconds")
COSTS = ("parameters", "multiply_adds", "latency_ms")


class Digits201(Benchmark):
    """The benchmark.

    Args:
        folder: of the table's files.

    Attributes:
        about: protocol and machines.
        protocol: of the trainings.
        smallest: architecture string -> the string of its class's smallest cell.
        places: string of a class's smallest cell -> its index ``n``.
        series: name of a series -> ``(n, s, t)``: correct images, and mean losses.
        seconds: of each training, ``(n, s)``.
        costs: architecture string -> parameters, multiply-adds and latency.

    Raises:
        UserError: where a file is missing or damaged.
    """

    space = "nasbench201"
    data = ("digits201",)
    lengths = tuple(range(PROTOCOL.epochs, 0, -1))

    def __init__(self, folder: Path = FOLDER):
        self.about = _read_about(folder / ABOUT)
        self.protocol = Protocol(**{**self.about["protocol"], "seeds": tuple(self.about["protocol"]["seeds"])})
        self.smallest: dict[str, str] = {}
        self.costs: dict[str, dict[str, float]] = {}
        for line in _read(folder / ARCHITECTURES, ("architecture", "smallest", *COSTS)):
            self.smallest[line["architecture"]] = line["smallest"]
            self.costs[line["architecture"]] = {name: float(line[name]) for name in COSTS}
        self.places = {name: place for place, name in enumerate(dict.fromkeys(self.smallest.values()))}
        seeds, epochs = len(self.protocol.seeds), self.protocol.epochs
        self.series = {name: np.full((len(self.places), seeds, epochs), np.nan) for name in SERIES}
        self.seconds = np.full((len(self.places), seeds), np.nan)
        for line in _read(folder / TRAININGS, ("architecture", "seed", *SECONDS, *SERIES)):
            place = self.places[line["architecture"]], self.protocol.seeds.index(int(line["seed"]))
            self.seconds[place] = float(line["seconds"])
            for name in SERIES:
                self.series[name][place] = [float(value) for value in line[name].split()]
        if np.isnan(self.seconds).any() or any(np.isnan(values).any() for values in self.series.values()):
            raise UserError(f"{folder / TRAININGS}: trainings are missing; the file is damaged or cut short")

    @cached_property
    def valid_accuracy(self) -> np.ndarray:
        """Validation accuracies in percent, ``(n, s, t)``."""
        return 100 * self.series["valid_correct"] / DIGITS201_VALID

    @cached_property
    def test_accuracy(self) -> np.ndarray:
        """Test accuracies in percent, ``(n, s, t)``."""
        return 100 * self.series["test_correct"] / TEST_IMAGES

    @cached_property
    def _descending(self) -> list[float]:
        """The final test accuracy of every architecture, mean over seeds, the largest first."""
        classes = self.test_accuracy[:, :, -1].mean(1)
        return sorted((float(classes[self.places[name]]) for name in self.smallest.values()), reverse=True)

    def place(self, genotype: Genotype, data: str = "digits201") -> int:
        """Return the index of an architecture's class.

        Raises:
            UserError: where the table does not hold it.
        """
        if data not in self.data:
            raise UserError(f"data {data}: the digits benchmark has {', '.join(self.data)}")
        if not isinstance(genotype, NASBench201Genotype):
            raise UserError(f"{genotype}: not an architecture of NAS-Bench-201, so the table does not hold it")
        return self.places[self.smallest[str(genotype)]]

    def query(self, genotype: Genotype, data: str, epochs: int | None = None) -> Score:
        """Return the figures after some epochs of the training, means over the seeds, and its seconds.

        Raises:
            UserError: where the training has fewer epochs.
        """
        longest = self.protocol.epochs
        epochs = longest if epochs is None else epochs
        if epochs not in self.lengths:
            raise UserError(f"epochs {epochs}: the digits benchmark has 1 to {longest}")
        place = self.place(genotype, data)
        values = {
            "valid_accuracy": float(self.valid_accuracy[place, :, epochs - 1].mean()) / 100,
            "test_accuracy": float(self.test_accuracy[place, :, epochs - 1].mean()) / 100,
            "loss": float(self.series["valid_loss"][place, :, epochs - 1].mean()),
            **self.costs[str(genotype)],
        }
        return Score(values, float(self.seconds[place].mean()) * epochs / longest)

    def standing(self, genotype: Genotype, data: str = "digits201") -> Standing:
        """Return the standing of an architecture by its final accuracies, means over the seeds."""
        place = self.place(genotype, data)
        valid, test = (float(part[place, :, -1].mean()) for part in (self.valid_accuracy, self.test_accuracy))
        return standing(valid, test, self._descending)

    def figures(self, genotype: Genotype, data: str) -> dict[str, float]:
        """Return true accuracies, rank and regret, as a search logs them."""
        return self.standing(genotype, data).figures()

    def summary(self, genotype: Genotype, data: str) -> str:
        """Return true accuracies, rank and regret on one line."""
        return str(self.standing(genotype, data))

    def training(self, genotype: Genotype, seed: int) -> Training:
        """Return one recorded training.

        Raises:
            UserError: where the table does not hold it.
        """
        if seed not in self.protocol.seeds:
            raise UserError(f"seed {seed}: the digits benchmark has {', '.join(map(str, self.protocol.seeds))}")
        place = self.place(genotype), self.protocol.seeds.index(seed)
        series: dict[str, Any] = {name: tuple(map(int, self.series[name][place])) for name in COUNTS}
        series |= {name: tuple(map(float, self.series[name][place])) for name in LOSSES}
        return Training(float(self.seconds[place]), 0.0, **series)

    def best(self, count: int) -> list[NASBench201Genotype]:
        """Return architectures of the highest final test accuracy, the best first; one of each class."""
        order = self.test_accuracy[:, :, -1].mean(1).argsort(kind="stable")[::-1][:count]
        names = list(self.places)
        return [from_string(names[place]) for place in order]


def write_table(
    folder: Path,
    trainings: Mapping[Row, tuple[Training, int]],
    architectures: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
) -> None:
    """Write the files of the table.

    Args:
        folder: that is made where it is not there.
        trainings: (architecture, seed) -> the training, and the index of its machine.
        architectures: a line for each.
        about: protocol and machines.
    """
    lines = []
    for (architecture, seed), (training, machine) in trainings.items():
        texts = {name: " ".join(map(str, getattr(training, name))) for name in SERIES}
        plain = asdict(training)
        lines.append(
            {"architecture": architecture, "seed": seed, "machine": machine, **{k: plain[k] for k in SECONDS}, **texts}
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / TRAININGS, lines)
    _write(folder / ARCHITECTURES, architectures)
    write_atomically(folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode())


def _write(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_atomically(path, lzma.compress(text.getvalue().encode(), preset=9))


def _read(path: Path, columns: Sequence[str]) -> Iterable[dict[str, str]]:
    """Yield the lines of a compressed CSV file.

    Raises:
        UserError: where it cannot be read, or has not these columns.
    """
    try:
        text = lzma.decompress(path.read_bytes()).decode()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the digits benchmark's table is not there") from None
    except (lzma.LZMAError, ValueError) as error:
        raise UserError(f"{path}: damaged or cut short ({str(error)[:80]})") from None
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f"{path}: its first line has no column {missing[0]}")
    yield from reader


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the digits benchmark's table is not there") from None
    except ValueError:
        raise UserError(f"{path}: not a JSON file; it is damaged") from None
    return about
