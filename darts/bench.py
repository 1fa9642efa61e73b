"""How fast a search step is: every backend, first and second order; beside the authors' code where a checkout is given.

    python -m darts.bench --batch-size 16 --peer DIR --json FILE

All that is compared runs in turn, A B C A B C, in one process on one machine; the median of each is printed, and its
ratio to the peer. Paper settings: 8 cells, 16 channels, images of 32x32.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from darts.augment import Augmentation
from darts.checkpoint import write_atomically
from darts.cli import run_script
from darts.config import MethodConfig, RunConfig
from darts.data import Arrays, resident
from darts.device import choose_device, machine
from darts.peer import peer_search_step
from darts.recipes import darts_v1_cifar10
from darts.search import SearchTask

BACKENDS = ("reference", "batched")


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    batch_size: int = 64
    """Images a step, of each half."""
    rounds: int = 5
    """Measured steps of each."""
    warmup: int = 2
    """Steps of each before."""
    order: tuple[str, ...] = ("first_order", "unrolled")
    """Hypergradients to measure."""
    peer: Path | None = None
    """A checkout of quark0/darts."""
    json: Path | None = None
    """Where to write the figures."""
    device: str = "auto"
    """cpu, cuda, ..."""
    precision: str = "float32"
    """Of our steps: float32 or bfloat16."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Parse, build the contenders, measure, print."""
    config = tyro.cli(BenchConfig, prog="python -m darts.bench", args=arguments, description=__doc__)
    device = choose_device(RunConfig(device=config.device))
    contenders: dict[tuple[str, str], Callable[[], object]] = {}
    for order in config.order:
        if config.peer is not None:
            contenders[order, "authors"] = peer_search_step(config.peer, device, config.batch_size, order == "unrolled")
        for backend in BACKENDS:
            contenders[order, backend] = _our_step(config, device, backend, order)
    times = _measure(contenders, config, device, console)
    rows = [_row(key, times, config.batch_size) for key in times]
    table = Table("step", "code", "ms", "min", "max", "images/s", "x authors", "x first order")
    for row in rows:
        shown = [f"{row[key]:.0f}" for key in ("ms", "ms_min", "ms_max")] + [f"{row['images_per_second']:.1f}"]
        ratios = [f"{row[key]:.2f}" if key in row else "" for key in ("speedup", "first_order_steps")]
        table.add_row(row["step"], row["code"], *shown, *ratios)
    console.print(table)
    if config.json is not None:
        settings = {"batch_size": config.batch_size, "precision": config.precision, "rounds": config.rounds}
        content = {"machine": machine(device), "settings": settings, "steps": rows}
        write_atomically(config.json, (json.dumps(content, indent=2) + "\n").encode())


def _our_step(config: BenchConfig, device: torch.device, backend: str, order: str) -> Callable[[], object]:
    """A step as a search takes it, with batches drawn and augmented, from random images."""
    recipe = darts_v1_cifar10()
    recipe = replace(
        recipe,
        batch_size=config.batch_size,
        space=replace(recipe.space, backend=backend),
        method=MethodConfig(step=order),
        run=replace(recipe.run, precision=config.precision),
    )
    rng = np.random.default_rng(0)
    count = 2 * config.batch_size * (config.warmup + config.rounds)
    images = rng.integers(0, 256, (count, 3, 32, 32), np.uint8)
    labels = np.arange(count) % 10
    generator = torch.Generator(device).manual_seed(0)
    data = resident("random", Arrays(images, labels, images[:10], labels[:10]), Augmentation(4, True), generator)
    task = SearchTask(recipe, data, device)
    task.begin_epoch(0, 0)
    return task.step


def _measure(
    contenders: dict[tuple[str, str], Callable[[], object]], config: BenchConfig, device: torch.device, console: Console
) -> dict[tuple[str, str], list[float]]:
    """Seconds of each contender's measured steps, taken in turn."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in contenders}
    for count in track(range(config.warmup + config.rounds), "rounds", console=console, transient=True):
        for key, step in contenders.items():
            began = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if count >= config.warmup:
                times[key].append(time.perf_counter() - began)
    return times


def _row(key: tuple[str, str], times: dict[tuple[str, str], list[float]], batch_size: int) -> dict[str, Any]:
    order, code = key
    seconds = statistics.median(times[key])
    row = {"step": order, "code": code, "ms": 1e3 * seconds, "ms_min": 1e3 * min(times[key])}
    row |= {"ms_max": 1e3 * max(times[key]), "images_per_second": 2 * batch_size / seconds}
    if (order, "authors") in times:
        row["speedup"] = statistics.median(times[order, "authors"]) / seconds
    if ("first_order", code) in times:
        row["first_order_steps"] = seconds / statistics.median(times["first_order", code])
    return row


if __name__ == "__main__":
    run_script(main)
