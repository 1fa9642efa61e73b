"""NAS-Bench-Macro: the accuracies of 6,561 mobile networks on CIFAR-10, looked up in a table (Su et al. 2021).

The table is a CSV file with a header. Columns:

* ``arch``: eight digits, one for each block: 0 identity, 1 and 2 the two inverted residuals; each of the 6,561 once.
* ``test_acc_1``, ``test_acc_2``, ``test_acc_3``: percent, of three trainings.
* ``params``, ``flops``: number of weights, and multiply-adds.

The benchmark has no validation accuracy. What a search maximizes is the accuracy of the first training, as a search
that trains each architecture once would see it; architectures are judged by the mean of the three.
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean

from darts.benchmarks.csv_table import CSVTable
from darts.benchmarks.protocol import Benchmark, Score
from darts.benchmarks.standing import Standing, standing
from darts.errors import UserError
from genotypes import Genotype
from genotypes.types.choices import ChoicesGenotype

NAMES = ("identity", "mb3_3x3", "mb6_5x5")
"""The candidates of each digit."""

BLOCKS = 8
ARCHITECTURES = len(NAMES) ** BLOCKS
SEEDS = ("test_acc_1", "test_acc_2", "test_acc_3")
PARAMETERS, MULTIPLY_ADDS = "params", "flops"
DIGITS = re.compile(r"[012]{8}")


class NASBenchMacro(Benchmark):
    """The benchmark's table.

    Args:
        path: of the CSV file.

    Attributes:
        table: its lines by their digits.

    Raises:
        UserError: where the file is not such a table.
    """

    space = "nasbenchmacro"
    data = ("cifar10",)
    lengths = ()

    def __init__(self, path: Path):
        self.table = CSVTable(path, key="arch")
        foreign = [key for key in self.table.keys if not DIGITS.fullmatch(key)]
        if foreign:
            raise UserError(f"`benchmark.file` {path}: arch {foreign[0][:40]!r}; it must be {BLOCKS} digits 0, 1 or 2")
        if len(self.table) != ARCHITECTURES:
            raise UserError(f"`benchmark.file` {path}: {len(self.table)} architectures; all {ARCHITECTURES} are needed")
        for column in (PARAMETERS, MULTIPLY_ADDS):
            self.table.descending(column)  # refuses a table without it
        self.accuracies = {key: mean(self.table.value(key, seed) for seed in SEEDS) for key in self.table.keys}
        self._descending = sorted(self.accuracies.values(), reverse=True)

    def query(self, genotype: Genotype, data: str, epochs: int = 0) -> Score:
        """Return accuracies, parameters and multiply-adds; the table has one length of training."""
        key = self._key(genotype, data)
        values = {
            "valid_accuracy": self.table.value(key, SEEDS[0]) / 100,
            "test_accuracy": self.accuracies[key] / 100,
            "parameters": self.table.value(key, PARAMETERS),
            "multiply_adds": self.table.value(key, MULTIPLY_ADDS),
        }
        return Score(values)

    def standing(self, genotype: Genotype, data: str) -> Standing:
        """Return the standing of an architecture by the mean of its trainings.

        Raises:
            UserError: where the table does not hold it.
        """
        key = self._key(genotype, data)
        return standing(self.table.value(key, SEEDS[0]), self.accuracies[key], self._descending)

    def best(self, count: int) -> list[ChoicesGenotype]:
        """Return the architectures of the highest mean accuracy, the best first."""
        keys = sorted(self.accuracies, key=lambda key: -self.accuracies[key])
        return [architecture(key) for key in keys[:count]]

    def _key(self, genotype: Genotype, data: str) -> str:
        if data not in self.data:
            raise UserError(f"data {data}: NAS-Bench-Macro has {', '.join(self.data)}")
        return digits(genotype)


def architecture(text: str) -> ChoicesGenotype:
    """Return the genotype of eight digits.

    Raises:
        UserError: where the text is not eight digits 0, 1 or 2.
    """
    if not DIGITS.fullmatch(text):
        raise UserError(f"{text[:40]!r} is no architecture of NAS-Bench-Macro; write {BLOCKS} digits 0, 1 or 2")
    return ChoicesGenotype(tuple((f"block{index}", (NAMES[int(digit)],)) for index, digit in enumerate(text)))


def digits(genotype: Genotype) -> str:
    """Return an architecture as the benchmark writes it.

    Raises:
        UserError: where it is of another space.
    """
    kept = dict(genotype.picks) if isinstance(genotype, ChoicesGenotype) else {}
    places = [NAMES.index(names[0]) if names[0] in NAMES else None for names in kept.values()]
    if list(kept) != [f"block{index}" for index in range(BLOCKS)] or None in places:
        raise UserError(f"{genotype}: not an architecture of NAS-Bench-Macro, so the table does not hold it")
    return "".join(map(str, places))
