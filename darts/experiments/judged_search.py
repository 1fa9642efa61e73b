"""A search on the digits benchmark, judged by the table: its result, the cells of its epochs, its supernet's ranks.

A search without gradients looks architectures up, or judges them by shared weights, and is judged by its result alone.
The supernet's score of an architecture is the accuracy on the validation half under one-hot gates, with BatchNorm by
each batch's statistics.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from scipy.stats import kendalltau

from darts.benchmarks.digits.table import Digits201
from darts.config import MethodConfig, SearchConfig, check
from darts.data.registry import open_data
from darts.experiments.runs import named, search
from darts.methods.context import accuracy_by_batches
from darts.oneshot.builder import make_search
from darts.oneshot.collapse import signs
from darts.oneshot.task import SearchTask
from darts.recipes.blackbox import RECIPES as WITHOUT_GRADIENTS
from darts.recipes.blackbox import ROWS
from darts.recipes.digits201 import RECIPES
from genotypes import Genotype, describe
from genotypes.types.nasbench201 import NASBench201Genotype, from_string
from supernet.architectures import one_hot

CPU = torch.device("cpu")

UNIFORM = "uniform_paths"
"""A supernet trained on uniformly sampled paths, whose best of 100 sampled architectures is the result (RSPS)."""

STRATEGIES = tuple(name for name in ROWS if name != "exhaustive")
"""Searches without gradients, by the names of their recipes: 100 trainings, or as many epochs of training."""


@dataclass(frozen=True)
class Job:
    """A search.

    Attributes:
        method: a method, ``UNIFORM``, or one of ``STRATEGIES``.
        seed: of the search.
        epochs: of the search; the recipe's where not given.
        ranked: architectures that its supernet ranks; 0 for none.
        ranked_every: epochs between two rankings; the last epoch is always ranked.
    """

    method: str
    seed: int
    epochs: int | None = None
    ranked: int = 0
    ranked_every: int = 10


def searcher() -> Callable[[Job], dict[str, Any]]:
    """Return what runs a job on one thread, and returns its figures; the table is read once."""
    torch.set_num_threads(1)
    benchmark = Digits201()
    return lambda job: judged(job, benchmark)


def config_of(job: Job) -> SearchConfig:
    """Return the search of a job, checked."""
    if job.method == UNIFORM:
        method = MethodConfig("darts", stages=("stage:warmup=1",), callbacks=("single_paths:samples=100",))
        config = replace(RECIPES["darts_digits201"](), method=method)
    else:
        config = RECIPES[f"{job.method}_digits201"]()
    config = replace(config, seed=job.seed, epochs=job.epochs or config.epochs)
    check(config)
    return config


def judged(job: Job, benchmark: Digits201) -> dict[str, Any]:
    """Search, and return the figures.

    Returns:
        ``accuracy``, ``rank`` and ``regret``: true figures of the result, in percent; ``by_epoch``: the true accuracy
        of each epoch's cell; ``skips``; ``collapsed``: whether the result is collapsed (``darts.oneshot.collapse``);
        ``ranking``: epoch -> Kendall's tau of the supernet's scores with the true accuracies.
    """
    began = time.monotonic()
    if job.method in STRATEGIES:
        genotype, by_epoch, ranking = without_gradients(job), list[float](), dict[str, float]()
    else:
        genotype, by_epoch, ranking = with_gradients(job, benchmark)
    assert isinstance(genotype, NASBench201Genotype)
    standing, skipped = benchmark.standing(genotype), benchmark.protocol.space.skipped(genotype)
    reason = signs(RECIPES["darts_digits201"](), skipped, genotype.connected, [], 1.0)
    return {
        "method": job.method,
        "seed": job.seed,
        "epochs": len(by_epoch),
        "accuracy": round(100 * standing.test_accuracy, 3),
        "rank": standing.rank,
        "regret": round(100 * standing.regret, 3),
        "by_epoch": by_epoch,
        "skips": skipped[0],
        "collapsed": reason is not None,
        "ranking": ranking,
        "seconds": round(time.monotonic() - began, 1),
        "genotype": describe(genotype),
    }


def with_gradients(job: Job, benchmark: Digits201) -> tuple[Genotype, list[float], dict[str, float]]:
    """Return what a method finds, the true accuracies by epoch, and how its supernet ranks."""
    config = config_of(job)
    task = make_search(config, open_data(config.data, CPU, config.seed), CPU)
    sample = sampled(benchmark, job.ranked)
    ranking, by_epoch = dict[str, float](), list[float]()
    epoch = 0
    while epoch < task.epochs:
        task.begin_epoch(epoch, 0)
        for _ in range(task.steps_per_epoch):
            task.step()
        figures = task.end_epoch(epoch, lambda done, batches: None)
        by_epoch.append(round(100 * figures["true_test_accuracy"], 3))
        epoch += 1
        if sample and (epoch % job.ranked_every == 0 or epoch in (1, task.epochs)):
            ranking[str(epoch)] = tau(task, benchmark, sample)
    return task.result(), by_epoch, ranking


def without_gradients(job: Job) -> Genotype:
    """Return what a strategy finds; the epochs of a job are those of the supernet, where it trains one."""
    config = replace(WITHOUT_GRADIENTS[f"{job.method}_digits201"](), seed=job.seed)
    if config.evaluator == "shared" and job.epochs:
        config = replace(config, budget=replace(config.budget, epochs=job.epochs))
    check(config)
    with tempfile.TemporaryDirectory() as folder:
        return search(named(config, "search", Path(folder), "cpu"), CPU, Console(quiet=True)).genotype


def sampled(benchmark: Digits201, count: int) -> list[NASBench201Genotype]:
    """Return architectures of different classes, the same for all searches."""
    return [from_string(name) for name in Random(0).sample(sorted(benchmark.places), count)]


def tau(task: SearchTask, benchmark: Digits201, sample: Sequence[NASBench201Genotype]) -> float:
    """Return Kendall's tau between the supernet's scores of architectures and their true accuracies."""
    scores = []
    for genotype in sample:
        gates = one_hot(task.space.tables, task.space.picks(genotype))
        scores.append(accuracy_by_batches(task.context, gates))
    truth = [benchmark.standing(genotype).test_accuracy for genotype in sample]
    return round(float(kendalltau(scores, truth)[0]), 4)
