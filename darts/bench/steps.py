"""How fast a step is: searching of first and second order, evaluating, retraining; beside the authors' code where a
checkout is given.

    python -m darts.bench --batch-size 16 --peer DIR --json FILE

All that is compared runs in turn, A B C A B C, in one process on one machine; the median of each is printed, and its
ratio to the peer. Paper settings: 8 cells, 16 channels, images of 32x32; retraining DARTS_V2 with 20 cells, 36
channels. On a GPU each step of ours runs with and without a CUDA graph, and retraining by the library's kernels, by
fused ones and compiled; warming up, capturing and compiling are not counted.

The floor of a search step is what its forward and backward passes (two of first order, five of second) must at least
move and compute with every fusion that BatchNorm leaves possible: 36 times the first cells' states for each of 14 edges
in 4.3 cells' worth of cells, and 0.81 GFLOP an image, by this machine's measured rates of copying and of multiplying
matrices of 32-bit numbers.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

import genotypes
from darts.artifacts.checkpoint import write_atomically
from darts.bench.reference_darts import peer_retrain_step, peer_search_step
from darts.config import MethodConfig, RunConfig
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays, DataSet
from darts.data.resident import resident
from darts.oneshot.builder import make_search
from darts.oneshot.task import SearchTask
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES
from darts.retraining.task import RetrainTask
from darts.training.cuda_graph import WARM_UP
from darts.training.device import choose_device
from darts.training.memory_planner import LiveTensors
from supernet.bench.machine import backends_on, copy_rate, machine, product_rate, seconds_of
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions

PASSES = {"first_order": 2, "unrolled": 5}
"""Forward and backward passes of a step, its training of the weights among them."""

STATES_MOVED = 36 * 4.3
"""Reads and writes of a state of the first cells for each of their edges, in a forward and a backward pass."""

FLOPS_AN_IMAGE = 52e9 / 64
"""Arithmetic of a forward and a backward pass."""

AUTHORS = "authors"

Retraining = Literal["library", "fused", "compiled"]


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    batch_size: int = 64
    """Images a step, of each half."""
    retrain_batch_size: int = 96
    """Images a retraining step; 0 to leave it out."""
    rounds: int = 5
    """Measured steps of each."""
    warmup: int = 2
    """Steps of each before."""
    epoch: int | None = None
    """Steps of a stretch without a pause, as an epoch is; 391 on a GPU where not given, none on a CPU."""
    order: tuple[str, ...] = ("first_order", "unrolled")
    """Hypergradients to measure."""
    backends: tuple[str, ...] | None = None
    """Who computes the mixed operations; all where not given, fused on a GPU only."""
    retrainings: tuple[Retraining, ...] | None = None
    """Who computes our retraining; on a GPU all where not given, elsewhere library."""
    peer: Path | None = None
    """A checkout of quark0/darts."""
    json: Path | None = None
    """Where to write the figures."""
    device: str = "auto"
    """cpu, cuda, ..."""
    precision: str = "float32"
    """Of our steps: float32 or bfloat16."""


@dataclass
class Contender:
    """What is measured: a step of some code.

    Attributes:
        images: it computes on, of all batches together.
        seconds: of the measured steps.
        bytes: of the tensors alive at once in a step, weights not counted.
    """

    what: str
    code: str
    images: int
    step: Callable[[], object]
    seconds: list[float] = field(default_factory=list)
    bytes: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main(arguments: Sequence[str], console: Console) -> None:
    """Parse, build the contenders, measure, print."""
    config = tyro.cli(BenchConfig, prog="python -m darts.bench", args=arguments, description=__doc__)
    device = choose_device(RunConfig(device=config.device))
    contenders = list(_contenders(config, device))
    _measure(contenders, config, device, console)
    rates = copy_rate(device), product_rate(device)
    rows = [_row(contender, contenders, config, rates) for contender in contenders]
    rows += _epochs(contenders, config, device)
    if not console.is_terminal:
        console.width = 120  # a file is taken to be 80 wide, which cuts names short
    console.print(_table(rows))
    console.print(f"floor: copies {rates[0] / 1e9:.0f} GB/s, products {rates[1] / 1e9:.0f} GFLOP/s", highlight=False)
    if config.json is not None:
        names = "batch_size", "retrain_batch_size", "precision", "rounds"
        settings = {name: getattr(config, name) for name in names}
        measured = {"copy_bytes_per_second": rates[0], "product_flops_per_second": rates[1]}
        content = {"machine": machine(device), "settings": settings, "rates": measured, "steps": rows}
        write_atomically(config.json, (json.dumps(content, indent=2) + "\n").encode())


def _contenders(config: BenchConfig, device: torch.device) -> list[Contender]:
    found = []
    size, again = config.batch_size, config.retrain_batch_size
    for order in config.order:
        if config.peer is not None:
            step = peer_search_step(config.peer, device, size, order == "unrolled")
            found.append(Contender(order, AUTHORS, 2 * size, step))
        for backend in config.backends or backends_on(device):
            for graph in _graphs(device):
                task = _search(config, device, backend, order, graph)
                found.append(Contender(order, backend + _marked(graph), 2 * size, _stepping(task)))
                if order == config.order[0] and graph == "off":
                    found.append(Contender("evaluation", backend, 2 * size, _evaluating(task)))
    if again and config.peer is not None:
        found.append(Contender("retrain", AUTHORS, again, peer_retrain_step(config.peer, device, again)))
    ways = config.retrainings or (get_args(Retraining) if device.type == "cuda" else ("library",))
    for way in ways if again else ():
        for graph in _graphs(device):
            task = _retrain(config, device, graph, way)
            found.append(Contender("retrain", way + _marked(graph), again, _stepping(task)))
    return found


def _graphs(device: torch.device) -> tuple[str, ...]:
    return ("off", "on") if device.type == "cuda" else ("off",)


def _marked(graph: str) -> str:
    return ", graph" if graph == "on" else ""


def _data(config: BenchConfig, device: torch.device, batch_size: int) -> DataSet:
    """Random images, enough for every step."""
    rng = np.random.default_rng(0)
    count = 2 * batch_size * (2 + WARM_UP + config.warmup + config.rounds)
    images = rng.integers(0, 256, (count, 3, 32, 32), np.uint8)
    labels = np.arange(count) % 10
    generator = torch.Generator(device).manual_seed(0)
    return resident("random", Arrays(images, labels, images[:10], labels[:10]), Augmentation(4, True), generator)


def _search(config: BenchConfig, device: torch.device, backend: str, order: str, graph: str) -> SearchTask:
    recipe = SEARCH_RECIPES["darts_v1_cifar10"]()
    recipe = replace(
        recipe,
        batch_size=config.batch_size,
        space=replace(recipe.space, backend=backend),
        method=MethodConfig(step=order),
        run=replace(recipe.run, precision=config.precision, graph=graph),
    )
    return make_search(recipe, _data(config, device, config.batch_size), device)


def _retrain(config: BenchConfig, device: torch.device, graph: str, way: Retraining) -> RetrainTask:
    recipe, size = FINAL_RECIPES["darts_cifar10"](), config.retrain_batch_size
    run = replace(recipe.run, precision=config.precision, graph=graph)
    recipe = replace(recipe, batch_size=size, run=run, fused=way == "fused", compile=way == "compiled")
    return RetrainTask(recipe, genotypes.load("DARTS_V2"), _data(config, device, size), device)


def _stepping(task: SearchTask | RetrainTask) -> Callable[[], object]:
    """A step as a run takes it, with batches drawn and augmented, one epoch after the other."""
    taken = 0

    def step() -> None:
        nonlocal taken
        if taken % task.steps_per_epoch == 0:
            task.begin_epoch(1, 0)
        taken += 1
        task.step()

    return step


def _evaluating(task: SearchTask) -> Callable[[], object]:
    """Scores of two batches, as an evaluation computes them."""
    order = task.context.valid_indices[: 2 * task.config.batch_size]
    ((images, _),) = task.data.train.batches(order, len(order), training=False)
    problem = task.problem

    def evaluate() -> None:
        problem.supernet.eval()
        with torch.no_grad(), problem.autocast:
            problem.supernet(images, problem.expected_gates())
        problem.supernet.train()

    return evaluate


def _measure(contenders: list[Contender], config: BenchConfig, device: torch.device, console: Console) -> None:
    """Seconds of each contender's measured steps, taken in turn; the memory of a step before."""
    warmup = max(config.warmup, WARM_UP + 1 if device.type == "cuda" else 1)
    rounds, began = warmup + config.rounds, time.monotonic()
    for count in track(range(rounds), "rounds", console=console, transient=True):
        for contender in contenders:
            if count == min(1, warmup - 1):
                contender.bytes = _bytes_of(contender.step, device)
                continue
            seconds = seconds_of(contender.step, device)
            if count >= warmup:
                contender.seconds.append(seconds)
        console.print(f"round {count + 1} of {rounds} after {time.monotonic() - began:.0f} s", highlight=False)


def _bytes_of(step: Callable[[], object], device: torch.device) -> int:
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with LiveTensors() as live:
        step()
    return live.peak


def _epochs(contenders: list[Contender], config: BenchConfig, device: torch.device) -> list[dict[str, Any]]:
    """Many steps without a pause between: what the host prepares meanwhile costs nothing."""
    steps = config.epoch if config.epoch is not None else 391 * (device.type == "cuda")
    rows = []
    for contender in contenders if steps else ():
        if contender.what == "evaluation":
            continue
        stretch = contender.step
        seconds = seconds_of(lambda stretch=stretch: [stretch() for _ in range(steps)], device)
        row = {"step": f"{steps} of {contender.what}", "code": contender.code, "ms": 1e3 * seconds / steps}
        rows.append(row | {"images_per_second": contender.images * steps / seconds, "seconds": seconds})
    return rows


def _row(
    contender: Contender, contenders: list[Contender], config: BenchConfig, rates: tuple[float, float]
) -> dict[str, Any]:
    what, seconds = contender.what, contender.median
    row = {"step": what, "code": contender.code, "ms": 1e3 * seconds, "ms_min": 1e3 * min(contender.seconds)}
    row |= {"ms_max": 1e3 * max(contender.seconds), "images_per_second": contender.images / seconds}
    row |= {"bytes": contender.bytes}
    same = {other.code: other.median for other in contenders if other.what == what}
    if AUTHORS in same:
        row["speedup"] = same[AUTHORS] / seconds
    first = {other.code: other.median for other in contenders if other.what == "first_order"}
    if what in PASSES and contender.code in first:
        row["first_order_steps"] = seconds / first[contender.code]
    if what in PASSES:
        row["floor_ms"] = 1e3 * _floor(what, config, rates)
        row["floor_share"] = row["floor_ms"] / row["ms"]
    return row


def _floor(what: str, config: BenchConfig, rates: tuple[float, float]) -> float:
    """Seconds that a search step takes at least."""
    width = 2 if config.precision == "bfloat16" else 4
    edges = SPACES["darts"].make(SpaceOptions(ImageShape(3, 32, 10))).tables[0].rows
    moved = STATES_MOVED * edges * config.batch_size * 16 * 32 * 32 * width
    return PASSES[what] * max(moved / rates[0], FLOPS_AN_IMAGE * config.batch_size / rates[1])


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("step", "code", "ms", "min", "max", "images/s", "GB", "x authors", "x first order", "floor")
    for row in rows:
        shown = [_digits(row[key]) if key in row else "" for key in ("ms", "ms_min", "ms_max", "images_per_second")]
        shown.append(f"{row['bytes'] / 1e9:.2f}" if "bytes" in row else "")
        shown += [f"{row[key]:.2f}" if key in row else "" for key in ("speedup", "first_order_steps")]
        shown.append(f"{100 * row['floor_share']:.1f} %" if "floor_share" in row else "")
        table.add_row(row["step"], row["code"], *shown)
    return table
