"""Looked up: the figures that a benchmark has recorded for each architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from darts.benchmarks.registry import benchmark_of
from darts.blackbox.evaluators.evaluator import EvaluatorOptions, Problem, Setting
from darts.blackbox.objectives import goals_of, looked_up_costs
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.schedulers import scheduler_of
from darts.config.blackbox import BlackboxConfig
from darts.errors import UserError
from darts.methods.space_factory import space_from
from darts.retraining.evaluator import Lookup
from supernet.shapes import ImageShape

CIFAR10_SHAPE = ImageShape(3, 32, 10)


@dataclass(frozen=True)
class BenchmarkLookup(EvaluatorOptions):
    """Looks an architecture up in the table of ``benchmark.file`` or ``benchmark.name``."""

    trains: ClassVar[bool] = True

    def problem(self, config: BlackboxConfig, setting: Callable[[], Setting]) -> Problem:
        """Return the problem of searching in the table; no data set is needed."""
        return lookup_problem(config)


def lookup_problem(config: BlackboxConfig) -> Problem:
    """Return the problem of searching in a benchmark's table.

    Raises:
        UserError: where the table does not cover the search space or the length of training.
    """
    data = config.benchmark.data
    benchmark = benchmark_of(config.benchmark, config.space.name, data)
    assert benchmark is not None
    if benchmark.lengths and config.budget.epochs not in benchmark.lengths:
        allowed = " or ".join(map(str, benchmark.lengths))
        raise UserError(f"`budget.epochs` is {config.budget.epochs}; the benchmark has {allowed}")
    rungs = scheduler_of(config).start(config.budget.epochs).rungs
    if benchmark.lengths and not set(rungs) <= set(benchmark.lengths):
        trained, known = (", ".join(map(str, lengths)) for lengths in (rungs, benchmark.lengths))
        advice = "set `budget.epochs` 200 and `scheduler` asha:eta=16,min_epochs=12"
        reason = f"`scheduler` {config.scheduler} compares after {trained} epochs, the benchmark has {known}"
        raise UserError(f"{reason}: {advice}")
    goals = goals_of(config)
    costs = looked_up_costs(goals, benchmark, data, config.budget.epochs)
    decisions = ArchitectureDecisions(space_from(config, shape=CIFAR10_SHAPE)).priced(
        lambda genotype: goals.untrained(costs(genotype, {}))
    )
    return Problem(decisions, Lookup(benchmark, data), costs, truth=lambda genotype: benchmark.standing(genotype, data))
