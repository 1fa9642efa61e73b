"""NAS-Bench-101: the accuracies of 423,624 cells on CIFAR-10, from the benchmark's own file (Ying et al. 2019).

The file is a TFRecord. Each record is a row of JSON: the cell's hash, the epochs of the training, the matrix as a text
of 0 and 1, the operations separated by commas, and the metrics as a protocol buffer in base64. A cell was trained three
times at each length. Of a training, the last of the evaluations counts.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from darts.benchmarks.protocol import Benchmark, Score
from darts.benchmarks.standing import Standing, standing
from darts.benchmarks.tfrecord import fields, records
from darts.errors import UserError
from genotypes import Genotype
from genotypes.errors import kind_and_text
from genotypes.faults import GenotypeError
from genotypes.types.nasbench101 import NASBench101Genotype

EPOCHS = (108, 36, 12, 4)
ROW_ERRORS = (ArithmeticError, AttributeError, GenotypeError, LookupError, RecursionError, TypeError, ValueError)
"""What goes wrong where a record is none of the benchmark's."""

EVALUATION, PARAMETERS = 1, 2
"""Fields of the metrics."""

SECONDS, VALID, TEST = 2, 4, 5
"""Fields of an evaluation."""


@dataclass(frozen=True)
class Run:
    """One training of a cell.

    Attributes:
        valid_accuracy, test_accuracy: shares of 1.
        seconds: of the training.
    """

    valid_accuracy: float
    test_accuracy: float
    seconds: float


class NASBench101(Benchmark):
    """The benchmark's table, in memory.

    Args:
        path: of the TFRecord file; it may hold a part of the benchmark.
        report: is called with the number of bytes read.

    Raises:
        UserError: where the file is not such a table.
    """

    space = "nasbench101"
    data = ("cifar10",)
    lengths = EPOCHS

    def __init__(self, path: Path, report: Callable[[int], None] = lambda position: None):
        self.path = path
        self.runs: dict[tuple[str, int], list[Run]] = {}
        self.parameters: dict[str, int] = {}
        for number, record in enumerate(records(path, report), 1):
            key, epochs, parameters, run = self._row(record, number)
            self.runs.setdefault((key, epochs), []).append(run)
            self.parameters[key] = parameters
        if not self.runs:
            raise UserError(f"`benchmark.file` {path}: holds no record")
        self._descending: dict[int, list[float]] = {}

    def query(self, genotype: Genotype, data: str, epochs: int = max(EPOCHS)) -> Score:
        """Return the means over the trainings of a cell: accuracies, parameters, and the recorded seconds."""
        runs = self._runs(genotype, data, epochs)
        values = {
            "valid_accuracy": mean(run.valid_accuracy for run in runs),
            "test_accuracy": mean(run.test_accuracy for run in runs),
            "parameters": float(self.parameters[_key(genotype)]),
        }
        return Score(values, mean(run.seconds for run in runs))

    def standing(self, genotype: Genotype, data: str) -> Standing:
        """Return the standing of a cell among those of the file, after the longest training that the file has."""
        epochs = max(epochs for _, epochs in self.runs)
        values = self.query(genotype, data, epochs).values
        if epochs not in self._descending:
            tests = [
                100 * mean(run.test_accuracy for run in runs) for (_, at), runs in self.runs.items() if at == epochs
            ]
            self._descending[epochs] = sorted(tests, reverse=True)
        return standing(100 * values["valid_accuracy"], 100 * values["test_accuracy"], self._descending[epochs])

    def _runs(self, genotype: Genotype, data: str, epochs: int) -> list[Run]:
        if data not in self.data or epochs not in EPOCHS:
            allowed = f"data cifar10, epochs {', '.join(map(str, EPOCHS))}"
            raise UserError(f"data {data}, epochs {epochs}: NAS-Bench-101 has {allowed}")
        key = _key(genotype)
        if (key, epochs) not in self.runs:
            raise UserError(f"`benchmark.file` {self.path}: has no training of {genotype} for {epochs} epochs")
        return self.runs[key, epochs]

    def _row(self, record: bytes, number: int) -> tuple[str, int, int, Run]:
        """Return a row's hash, epochs, parameters and training; of the first row the hash is computed anew."""
        try:
            key, epochs, matrix, operations, metrics = json.loads(record)
            found = list(fields(base64.b64decode(metrics, validate=True)))
            *_, last = (value for field, value in found if field == EVALUATION and isinstance(value, bytes))
            evaluated = dict(fields(last))
            run = Run(float(evaluated[VALID]), float(evaluated[TEST]), float(evaluated[SECONDS]))
            parameters, length = int(dict(found)[PARAMETERS]), int(epochs)
            if not all(map(math.isfinite, (run.valid_accuracy, run.test_accuracy, run.seconds))):
                raise ValueError("a number that is not finite")
            if number == 1 and architecture(matrix, operations).module_hash != key:
                raise ValueError("the hash of the first architecture is another")
        except ROW_ERRORS as error:
            reason = kind_and_text(error, 80)
            raise UserError(
                f"`benchmark.file` {self.path}: record {number} is no row of NAS-Bench-101 ({reason})"
            ) from None
        return str(key), length, parameters, run


def architecture(matrix: str, operations: str) -> NASBench101Genotype:
    """Return the cell of a row: its matrix as a text of 0 and 1, row by row, and its operations, ``input`` first.

    Raises:
        ValueError: where the matrix is not square.
        GenotypeError: where they are no cell of the benchmark.
    """
    size = math.isqrt(len(matrix))
    if size * size != len(matrix) or set(matrix) - {"0", "1"}:
        raise ValueError("the matrix is not square, of 0 and 1")
    rows: Iterable[str] = (matrix[row * size : (row + 1) * size] for row in range(size))
    return NASBench101Genotype(tuple(tuple(map(int, row)) for row in rows), tuple(operations.split(",")[1:-1]))


def _key(genotype: Genotype) -> str:
    if not isinstance(genotype, NASBench101Genotype):
        raise UserError(f"{genotype}: not an architecture of NAS-Bench-101, so the table does not hold it")
    return genotype.module_hash
