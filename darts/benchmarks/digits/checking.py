"""The check of the digits benchmark: a sample of its trainings, made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import fmean

from rich.console import Console

from darts.benchmarks.digits.building import SIDE_BY_SIDE, Part, stacks_of
from darts.benchmarks.digits.training import TEST_IMAGES, Protocol, Row, Training, trainer
from darts.benchmarks.workers import worked_off
from darts.errors import UserError


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
    """Train a sample again, stack by stack, and compare.

    Args:
        known: the table's trainings.
        count: size of the sample at least, which is rounded up to whole stacks.
        processes: of one thread each.
        protocol: of the trainings.
        console: shows progress.

    Raises:
        UserError: where the table holds no whole stack.
    """
    stacks = [stack for stack in stacks_of(Part(1, 1), protocol) if known.keys() >= set(stack)]
    if not stacks:
        raise UserError("no stack of trainings is whole; run build until one is")
    jobs = Random(0).sample(stacks, min(-(-count // SIDE_BY_SIDE), len(stacks)))
    differences, equal = [], 0
    for found in worked_off(
        partial(trainer, protocol), jobs, processes, things="trainings made again", console=console, size=len
    ):
        for row, made in zip(*found):
            differences.append(abs(made.test_correct[-1] - known[row].test_correct[-1]) / TEST_IMAGES)
            equal += figures(made) == figures(known[row])
    return Agreement(equal, len(differences), fmean(differences), max(differences))


def figures(training: Training) -> tuple[tuple[float, ...], ...]:
    """Return the recorded figures but the seconds."""
    return training.valid_correct, training.valid_loss, training.test_correct, training.test_loss
