"""NAS-Bench-201: the exact figures of each of its 15,625 architectures, looked up in a table (Dong and Yang 2020).

The table is a CSV file with a header. Columns:

* ``arch_str``: the architecture string; each of the 15,625 once.
* ``<data>_valid_acc``, ``<data>_test_acc`` for ``cifar10``, ``cifar100``, ``imagenet16``: percent, mean over seeds,
  trained for 200 epochs; with ``_12ep`` behind it, for 12 epochs.
* ``params_<data>``, ``mflops_<data>``: number of weights, and millions of multiply-adds.
* ``<data>_train_seconds``, ``<data>_latency_seconds``, where the file has them: time of the training for 200 epochs,
  and of a forward pass, on the machines of the benchmark's authors.
"""

from __future__ import annotations

from pathlib import Path

from darts.benchmarks.csv_table import CSVTable
from darts.benchmarks.protocol import Benchmark, Score
from darts.benchmarks.standing import Standing, standing
from darts.errors import UserError
from genotypes import Genotype
from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBench201Genotype, from_string

ARCHITECTURES = len(NASBENCH201_OPS) ** len(EDGES)
DATA = ("cifar10", "cifar100", "imagenet16")
EPOCHS = {200: "", 12: "_12ep"}
"""Length of the training -> suffix of its columns."""

VALIDATION_PASS = {"cifar10": 0.35, "cifar100": 0.035, "imagenet16": 0.007}
"""Time of one pass over the validation set, in epochs of training."""


class NASBench201(Benchmark):
    """The benchmark's table.

    Args:
        path: of the CSV file.

    Raises:
        UserError: where the file is not such a table.
    """

    space = "nasbench201"
    data = DATA
    lengths = tuple(EPOCHS)

    def __init__(self, path: Path):
        self.table = CSVTable(path, key="arch_str")
        if len(self.table) != ARCHITECTURES:
            found = f"{len(self.table)} architectures"
            raise UserError(f"`benchmark.file` {path}: {found}; all {ARCHITECTURES} are needed")

    def query(self, genotype: Genotype, data: str, epochs: int = 200) -> Score:
        """Return accuracies, parameters and multiply-adds after 200 or 12 epochs, and the recorded seconds.

        The seconds are those of the training and one pass over the validation set; 0 where the file has no times.
        """
        key, (valid, test) = _key(genotype), _columns(data, epochs)
        values = {
            "valid_accuracy": self.table.value(key, valid) / 100,
            "test_accuracy": self.table.value(key, test) / 100,
            "parameters": self.table.value(key, f"params_{data}"),
            "multiply_adds": 1e6 * self.table.value(key, f"mflops_{data}"),
        }
        seconds = 0.0
        if f"{data}_train_seconds" in self.table.columns:
            epoch = self.table.value(key, f"{data}_train_seconds") / max(EPOCHS)
            seconds = epoch * (epochs + VALIDATION_PASS[data])
        if f"{data}_latency_seconds" in self.table.columns:
            values["latency_ms"] = 1e3 * self.table.value(key, f"{data}_latency_seconds")
        return Score(values, seconds)

    def standing(self, genotype: Genotype, data: str, epochs: int = 200) -> Standing:
        """Return the standing of an architecture on a data set, after 200 or 12 epochs.

        Raises:
            UserError: where the table does not hold it.
        """
        key, (valid, test) = _key(genotype), _columns(data, epochs)
        return standing(self.table.value(key, valid), self.table.value(key, test), self.table.descending(test))

    def best(self, data: str, epochs: int, count: int) -> list[NASBench201Genotype]:
        """Return the architectures of the highest test accuracy, the best first."""
        _, test = _columns(data, epochs)
        return [from_string(name) for name in self.table.best(test, count)]


def _key(genotype: Genotype) -> str:
    if not isinstance(genotype, NASBench201Genotype):
        raise UserError(f"{genotype}: not an architecture of NAS-Bench-201, so the table does not hold it")
    return str(genotype)


def _columns(data: str, epochs: int) -> tuple[str, str]:
    """Return the columns of validation and test accuracy.

    Raises:
        UserError: where the benchmark does not cover the data set or the length of training.
    """
    if data not in DATA or epochs not in EPOCHS:
        allowed = f"--data must be one of {', '.join(DATA)}, --epochs {' or '.join(map(str, EPOCHS))}"
        raise UserError(f"data {data}, epochs {epochs}: {allowed}")
    return f"{data}_valid_acc{EPOCHS[epochs]}", f"{data}_test_acc{EPOCHS[epochs]}"
