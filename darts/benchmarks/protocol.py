"""The protocol of benchmarks: tables that know how well every architecture of a space trains.

A score is also what any other way of judging a genotype returns (``darts.retraining.evaluator``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from darts.benchmarks.standing import Standing
from genotypes import Genotype


@dataclass(frozen=True)
class Score:
    """The result of evaluating a genotype.

    Attributes:
        values: figure -> value: ``valid_accuracy`` and ``test_accuracy`` as shares of 1, ``loss``, ``parameters``,
            ``multiply_adds``, ``latency_ms``; those that the evaluation knows.
        seconds: that the evaluation took, or would have taken where a table answers; 0 where that is not known.
        notes: what else a record of the evaluation holds, as short texts: the ``network``'s fingerprint where one was
            built, the statistics that ``batch_norm`` used.
    """

    values: Mapping[str, float]
    seconds: float = 0.0
    notes: Mapping[str, str] = field(default_factory=dict)


class Benchmark(Protocol):
    """A table of what training each architecture of a space gives.

    Attributes:
        space: name of its space.
        data: names of its data sets.
        lengths: epochs of its trainings, the longest first; empty where it has one training, whatever its length.
    """

    space: ClassVar[str]
    data: ClassVar[tuple[str, ...]]
    lengths: ClassVar[tuple[int, ...]]

    def query(self, genotype: Genotype, data: str, epochs: int) -> Score:
        """Return the score of an architecture after a training.

        Args:
            genotype: of the benchmark's space.
            data: name of a data set.
            epochs: of the training.

        Raises:
            UserError: where the table does not hold this architecture, data set or length of training.
        """
        ...

    def standing(self, genotype: Genotype, data: str) -> Standing:
        """Return the standing of an architecture on a data set, after the longest training.

        Raises:
            UserError: where the table does not hold it.
        """
        ...

    def figures(self, genotype: Genotype, data: str) -> dict[str, float]:
        """Return what a search logs of a genotype: its true accuracies, rank and regret after the longest training.

        Their names begin with ``true_``, so that they are not mistaken for the run's own figures.
        """
        return self.standing(genotype, data).figures()

    def summary(self, genotype: Genotype, data: str) -> str:
        """Return the same figures on one line, to be read."""
        return str(self.standing(genotype, data))
