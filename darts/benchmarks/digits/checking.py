"""The check of the digits benchmark: a sample of its trainings, made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import fmean

from rich.console import Console

from darts.benchmarks.digits.rows import Row
from darts.benchmarks.digits.training import Protocol, Training, trainer
from darts.benchmarks.workers import in_processes
from darts.training.progress import LineTimer


@dataclass(frozen=True)
class Agreement:
    """How a sample agrees with the table.

    Attributes:
        equal: trainings whose every recorded figure is equal; seconds do not count.
        compared: trainings made again.
        difference: mean absolute difference of the test accuracy after the last epoch, as a share of 1.
        largest: the largest such difference.
    """

    equal: int
    compared: int
    difference: float
    largest: float


def check(
    known: Mapping[Row, Training], *, count: int, processes: int, protocol: Protocol, console: Console
) -> Agreement:
    """Train a sample again and compare.

    Args:
        known: the table's trainings.
        count: size of the sample; it is the same for equal tables.
        processes: of one thread each.
        protocol: of the trainings.
        console: shows progress.
    """
    jobs = Random(0).sample(sorted(known), min(count, len(known)))
    lines, differences, equal = LineTimer(console), [], 0
    for found in in_processes(partial(trainer, protocol), jobs, processes, lambda: False):
        if found is not None:
            row, made = found
            differences.append(abs(made.test_correct[-1] - known[row].test_correct[-1]) / protocol.test_images)
            equal += figures(made) == figures(known[row])
        if lines.due:
            console.print(f"{len(differences)} of {len(jobs)} trainings made again", highlight=False)
            lines.printed()
    return Agreement(equal, len(jobs), fmean(differences), max(differences))


def figures(training: Training) -> tuple[tuple[float, ...], ...]:
    """Return the recorded figures but the seconds."""
    return training.valid_correct, training.valid_loss, training.test_correct, training.test_loss
