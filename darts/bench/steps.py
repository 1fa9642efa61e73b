"""Times of a step: searching of first and second order, evaluating, retraining; beside the authors' code.

    python -m darts.bench --batch-size 16 --authors DIR --json FILE

All contenders (``darts.bench.contenders``) take turns, A B C A B C, in one process on one machine; the median of each
is printed, and its ratio to the authors' code where a checkout of it is given. Warming up, capturing and compiling are
not counted. The results are written after every step, so that a run that is cut off, or whose ``--budget`` is used up,
leaves what it has measured.

The floor of a search step is the least that its forward and backward passes (two of first order, five of second) must
move and compute with every fusion that BatchNorm leaves possible: 36 times the first cells' states for each of 14 edges
in the equivalent of 4.3 such cells, and 0.81 GFLOP per image, at this machine's measured rates of copying and of
multiplying 32-bit matrices.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from darts.artifacts.checkpoint import write_atomically
from darts.bench.contenders import AUTHORS, BenchConfig, Contender, contenders_of
from darts.config import RunConfig
from darts.config.command_line import parse_options
from darts.errors import UserError
from darts.training.cuda_graph import WARM_UP
from darts.training.device import choose_device
from darts.training.memory_planner import LiveTensors
from supernet.bench.machine import copy_rate, machine, product_rate, seconds_of
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions

PASSES = {"first_order": 2, "unrolled": 5}
"""Forward and backward passes of a search step, the one that trains the weights included."""

STATES_MOVED = 36 * 4.3
"""Reads and writes of a state of the first cells for each of their edges, in a forward and a backward pass."""

FLOPS_PER_IMAGE = 52e9 / 64
"""Floating point operations of a forward and a backward pass."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Measure the contenders; print and write the results.

    Raises:
        UserError: where a contender could not be measured, after the results of the others are written.
    """
    config = parse_options(BenchConfig(), arguments, "python -m darts.bench", __doc__ or "")
    device = choose_device(RunConfig(device=config.device))
    deadline = math.inf if config.budget is None else time.monotonic() + config.budget
    rates = copy_rate(device), product_rate(device)
    contenders = contenders_of(config, device)
    steps: dict[int, Callable[[], object]] = {}
    rows: list[dict[str, Any]] = []
    for _ in _measure(contenders, steps, config, device, deadline, console):
        rows = _rows(contenders, config, rates)
        _write(config, device, rates, rows)
    for row in _epochs(contenders, steps, config, device, deadline):
        rows.append(row)
        _write(config, device, rates, rows)
    if not console.is_terminal:
        console.width = 120  # rich assumes 80 columns for a file, which truncates names
    console.print(_table(rows))
    console.print(f"floor: copies {rates[0] / 1e9:.0f} GB/s, products {rates[1] / 1e9:.0f} GFLOP/s", highlight=False)
    failed = [f"{each.what} by {each.code}: {each.error}" for each in contenders if each.error]
    if failed:
        raise UserError("; ".join(failed))


def _write(config: BenchConfig, device: torch.device, rates: tuple[float, float], rows: list[dict[str, Any]]) -> None:
    """Write the results so far, so that a run that is cut off leaves them."""
    if config.json is not None:
        names = "batch_size", "retrain_batch_size", "precision", "rounds"
        settings = {name: getattr(config, name) for name in names}
        measured = {"copy_bytes_per_second": rates[0], "product_flops_per_second": rates[1]}
        content = {"machine": machine(device), "settings": settings, "rates": measured, "steps": rows}
        write_atomically(config.json, (json.dumps(content, indent=2) + "\n").encode())


def _measure(
    contenders: list[Contender],
    steps: dict[int, Callable[[], object]],
    config: BenchConfig,
    device: torch.device,
    deadline: float,
    console: Console,
) -> Iterator[None]:
    """Measure the seconds of each contender's steps, in turn, and before that the memory of one step.

    Args:
        steps: index of a contender -> its step; filled.
        deadline: by ``time.monotonic``; no step is started after it.

    Yields:
        After each measured step.
    """
    warmup = max(config.warmup, WARM_UP + 1 if device.type == "cuda" else 1)
    rounds, began = warmup + config.rounds, time.monotonic()
    for count in track(range(rounds), "rounds", console=console, transient=True):
        for index, contender in enumerate(contenders):
            if contender.error:
                continue
            if time.monotonic() > deadline:
                console.print(f"the budget of {config.budget:.0f} s is used up in round {count + 1} of {rounds}")
                return
            try:
                if index not in steps:
                    steps[index] = contender.make()
                if count == min(1, warmup - 1):
                    contender.bytes = _bytes_of(steps[index], device)
                    continue
                seconds = seconds_of(steps[index], device)
            except Exception as error:  # whatever a kernel, a compiler or the authors' code raises: the others go on
                contender.error = next(iter(str(error).splitlines()), type(error).__name__)[:200]
                console.print(f"{contender.what} by {contender.code} failed: {contender.error}", highlight=False)
                continue
            if count >= warmup:
                contender.seconds.append(seconds)
                yield
        console.print(f"round {count + 1} of {rounds} after {time.monotonic() - began:.0f} s", highlight=False)


def _bytes_of(step: Callable[[], object], device: torch.device) -> int:
    """Run a step and return the most bytes of tensors alive at once in it, beside those alive before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with LiveTensors() as live:
        step()
    return live.peak


def _epochs(
    contenders: list[Contender],
    steps: dict[int, Callable[[], object]],
    config: BenchConfig,
    device: torch.device,
    deadline: float,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each contender that times many consecutive steps, so that the host can prepare ahead.

    A contender is left out whose steps would not end before the deadline.
    """
    count = config.epoch if config.epoch is not None else 391 * (device.type == "cuda")
    for index, contender in enumerate(contenders if count else ()):
        if contender.what == "evaluation" or not contender.seconds:
            continue
        if time.monotonic() + count * contender.median > deadline:
            continue
        step = steps[index]

        def epoch(step: Callable[[], object] = step) -> None:
            for _ in range(count):
                step()

        seconds = seconds_of(epoch, device)
        row = {"step": f"{count} of {contender.what}", "code": contender.code, "ms": 1e3 * seconds / count}
        yield row | {"images_per_second": contender.images * count / seconds, "seconds": seconds}


def _rows(contenders: list[Contender], config: BenchConfig, rates: tuple[float, float]) -> list[dict[str, Any]]:
    """Return the rows of all contenders that have been measured, with their ratios."""
    measured = [contender for contender in contenders if contender.seconds]
    return [_row(contender, measured, config, rates) for contender in measured]


def _row(
    contender: Contender, contenders: list[Contender], config: BenchConfig, rates: tuple[float, float]
) -> dict[str, Any]:
    """Return a contender's results, with its ratios to others and to the floor."""
    what, seconds = contender.what, contender.median
    row: dict[str, Any] = {"step": what, "code": contender.code, "ms": 1e3 * seconds}
    row |= {"ms_min": 1e3 * min(contender.seconds), "ms_max": 1e3 * max(contender.seconds)}
    row |= {"images_per_second": contender.images / seconds, "bytes": contender.bytes}
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
    """Return the least seconds of a search step."""
    width = 2 if config.precision == "bfloat16" else 4
    edges = SPACES["darts"].make(SpaceOptions(ImageShape(3, 32, 10))).tables[0].rows
    moved = STATES_MOVED * edges * config.batch_size * 16 * 32 * 32 * width
    return PASSES[what] * max(moved / rates[0], FLOPS_PER_IMAGE * config.batch_size / rates[1])


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
