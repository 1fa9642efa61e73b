"""The contenders of the benchmark: search steps, evaluations and retraining steps of our code and of the authors'.

Paper settings: 8 cells, 16 channels, images of 32x32; retraining DARTS_V2 with 20 cells, 36 channels. On a GPU each
step of ours runs with and without a CUDA graph, and retraining with the library's kernels, with the fused ones, and
compiled.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import torch
import tyro

import genotypes
from darts.bench.reference_darts import authors_retrain_step, authors_search_step
from darts.config import MethodConfig
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays, DataSet
from darts.data.resident import resident
from darts.oneshot.builder import make_search
from darts.oneshot.task import SearchTask
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES
from darts.retraining.task import RetrainTask
from darts.training.cuda_graph import WARM_UP
from supernet.bench.machine import backends_on
from supernet.fused.availability import unavailable
from supernet.mixed.backends import Backend

AUTHORS = "authors"
"""The name of the authors' code among the contenders."""

Order = Literal["first_order", "unrolled"]
Retraining = Literal["library", "fused", "compiled"]
GraphMode = Literal["off", "on"]


@dataclass(frozen=True)
class BenchConfig:
    """Options of ``python -m darts.bench``."""

    batch_size: int = 64
    """Images per batch; a search step reads a training and a validation batch."""
    retrain_batch_size: int = 96
    """Images per retraining step; 0 to skip retraining."""
    rounds: int = 5
    """Number of measured steps of each contender."""
    warmup: int = 2
    """Number of steps of each contender before the measured ones."""
    epoch: int | None = None
    """Number of consecutive steps also timed as one, a full epoch; by default 391 on a GPU, 0 on a CPU."""
    order: tuple[Order, ...] = ("first_order", "unrolled")
    """Hypergradients to measure."""
    backends: tuple[Backend, ...] | None = None
    """Backends of the mixed operations; by default all that the device can run."""
    retrainings: tuple[Retraining, ...] | None = None
    """Kernels of our retraining; by default all on a GPU, library and fused on a CPU."""
    authors: Annotated[Path | None, tyro.conf.arg(aliases=["--peer"])] = None
    """A checkout of github.com/quark0/darts, measured beside ours."""
    json: Path | None = None
    """File to write the results to."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    budget: float | None = None
    """Seconds after which no further step is started; unlimited by default."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of our products and activations."""


@dataclass
class Contender:
    """A step that is measured.

    Attributes:
        what: the kind of step: first_order, unrolled, evaluation or retrain.
        code: whose code it is, and how it runs.
        images: number of images in all batches of a step.
        make: builds what it needs, and returns a function that runs it once.
        seconds: of the measured steps.
        bytes: of the tensors alive at once in a step, weights not counted.
        error: why it could not be measured, or empty.
    """

    what: str
    code: str
    images: int
    make: Callable[[], Callable[[], object]]
    seconds: list[float] = field(default_factory=list)
    bytes: int = 0
    error: str = ""

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)


def contenders_of(config: BenchConfig, device: torch.device) -> list[Contender]:
    """Return all contenders of a configuration: on a GPU the fused kernels first, then the authors' code."""
    size, retrain_size = config.batch_size, config.retrain_batch_size
    found = []
    for order in config.order:
        if config.authors is not None:
            searching = partial(authors_search_step, config.authors, device, size, order == "unrolled")
            found.append(Contender(order, AUTHORS, 2 * size, searching))
        for backend in config.backends or backends_on(device):
            for graph in graph_modes(device, backend):
                found += _search_contenders(config, device, backend=backend, order=order, graph=graph)
    if retrain_size and config.authors is not None:
        retraining = partial(authors_retrain_step, config.authors, device, retrain_size)
        found.append(Contender("retrain", AUTHORS, retrain_size, retraining))
    kernels = config.retrainings or _retrainings(device)
    for name in kernels if retrain_size else ():
        for graph in graph_modes(device):
            make = partial(_retrain_step, config, device, graph, name)
            found.append(Contender("retrain", name + _marked(graph), retrain_size, make))
    if device.type == "cuda":
        found.sort(key=lambda contender: (not contender.code.startswith("fused"), contender.code != AUTHORS))
    return found


def _retrainings(device: torch.device) -> tuple[Retraining, ...]:
    """Return the kernels of our retraining that are measured by default."""
    if device.type == "cuda":
        return get_args(Retraining)
    return ("library",) if unavailable(device) else ("library", "fused")


def _search_contenders(
    config: BenchConfig, device: torch.device, *, backend: Backend, order: Order, graph: GraphMode
) -> Iterator[Contender]:
    """Yield a search step, and for the first order, uncaptured, an evaluation by the same network."""
    size = config.batch_size

    @cache
    def task() -> SearchTask:
        return search_task(config, device, backend, order, graph)

    yield Contender(order, backend + _marked(graph), 2 * size, lambda: _stepping(task()))
    if order == config.order[0] and graph == "off":
        yield Contender("evaluation", backend, 2 * size, lambda: _evaluating(task()))


def _retrain_step(
    config: BenchConfig, device: torch.device, graph: GraphMode, kernels: Retraining
) -> Callable[[], object]:
    return _stepping(_retrain(config, device, graph, kernels))


def graph_modes(device: torch.device, backend: Backend = "fused") -> tuple[GraphMode, ...]:
    """Return the settings of `run.graph` to measure; ``reference`` reads gates and cannot be captured."""
    return ("on", "off") if device.type == "cuda" and backend != "reference" else ("off",)


def _marked(graph: GraphMode) -> str:
    return ", graph" if graph == "on" else ""


def _data(config: BenchConfig, device: torch.device, batch_size: int) -> DataSet:
    """Return random images, enough for every step."""
    rng = np.random.default_rng(0)
    count = 2 * batch_size * (2 + WARM_UP + config.warmup + config.rounds)
    images = rng.integers(0, 256, (count, 3, 32, 32), np.uint8)
    labels = np.arange(count) % 10
    generator = torch.Generator(device).manual_seed(0)
    return resident("random", Arrays(images, labels, images[:10], labels[:10]), Augmentation(4, True), generator)


def search_task(
    config: BenchConfig, device: torch.device, backend: Backend, order: Order, graph: GraphMode
) -> SearchTask:
    """Return a search at paper settings on random images."""
    recipe = SEARCH_RECIPES["darts_v1_cifar10"]()
    recipe = replace(
        recipe,
        batch_size=config.batch_size,
        space=replace(recipe.space, backend=backend),
        method=MethodConfig(step=order),
        run=replace(recipe.run, precision=config.precision, graph=graph),
    )
    return make_search(recipe, _data(config, device, config.batch_size), device)


def _retrain(config: BenchConfig, device: torch.device, graph: GraphMode, kernels: Retraining) -> RetrainTask:
    recipe, size = FINAL_RECIPES["darts_cifar10"](), config.retrain_batch_size
    run = replace(recipe.run, precision=config.precision, graph=graph)
    recipe = replace(recipe, batch_size=size, run=run, fused=kernels == "fused", compile=kernels == "compiled")
    return RetrainTask(recipe, genotypes.load("DARTS_V2"), _data(config, device, size), device)


def _stepping(task: SearchTask | RetrainTask) -> Callable[[], object]:
    """Return a step as a run takes it: batches are drawn and augmented, one epoch follows the other."""
    taken = 0

    def step() -> None:
        nonlocal taken
        if taken % task.steps_per_epoch == 0:
            task.begin_epoch(1, 0)
        taken += 1
        task.step()

    return step


def _evaluating(task: SearchTask) -> Callable[[], object]:
    """Return the forward pass of two batches, as an evaluation computes it."""
    order = task.context.valid_indices[: 2 * task.config.batch_size]
    ((images, _),) = task.data.train.batches(order, len(order), training=False)
    problem = task.problem

    def evaluate() -> None:
        problem.supernet.eval()
        with torch.no_grad(), problem.autocast:
            problem.supernet(images, problem.expected_gates())
        problem.supernet.train()

    return evaluate
