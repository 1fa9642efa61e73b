"""Latencies of the digits benchmark: a forward pass of one image by the smallest network of each class, one thread.

Networks are timed in batches, within which rounds are interleaved (``supernet.cost.timing``). A reference network is
timed in every batch; latencies are scaled by it, so that a machine that is slower for a while does not count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch
from rich.console import Console
from torch import nn

from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.json_lines import LinesWriter, complete_lines
from darts.benchmarks.digits.training import CPU, Protocol
from darts.config.ranges import is_number
from darts.errors import UserError
from darts.training.progress import LineTimer, Signals, duration
from genotypes.types.nasbench201 import EDGES, NASBench201Genotype
from supernet.bench.machine import machine
from supernet.cost.timing import Protocol as TimingProtocol
from supernet.cost.timing import measure

BATCH = 60
"""Networks that are timed together."""

ROUNDS = 9
"""Times that each is timed; the median counts."""

REFERENCE = NASBench201Genotype(("nor_conv_3x3",) * len(EDGES))
TIMING = TimingProtocol(rounds=ROUNDS, spread=float("inf"), attempts=1, clock=time.thread_time)


def measure_all(out: Path, *, protocol: Protocol, max_seconds: float | None, console: Console) -> int:
    """Time every class that the file does not hold yet; return how many are left.

    Args:
        out: file of JSON lines, a batch each, that is continued.
        protocol: of the benchmark, for the networks' size.
        max_seconds: after which no batch is begun; None for no limit.
        console: shows progress and time left.
    """
    torch.set_num_threads(1)
    found = read_latencies(out)
    everything = sorted(classes(), key=str)
    Random(0).shuffle(everything)
    left = [genotype for genotype in everything if str(genotype) not in found]
    batches = [left[first : first + BATCH] for first in range(0, len(left), BATCH)]
    began, lines, done = time.monotonic(), LineTimer(console), 0
    writer, ran = LinesWriter(out), machine(CPU)
    with Signals() as signals, closing(writer):
        for number, batch in enumerate(batches):
            late = max_seconds is not None and time.monotonic() - began > max_seconds
            if late or signals.received:
                break
            writer.write({"machine": ran, **_batch(batch, protocol)})
            done += len(batch)
            if lines.due or number == len(batches) - 1:
                rest = (time.monotonic() - began) / done * (len(left) - done)
                console.print(f"{done:,} of {len(left):,} networks timed, {duration(rest)} left", highlight=False)
                lines.printed()
    return len(left) - done


def _batch(batch: Sequence[NASBench201Genotype], protocol: Protocol) -> dict[str, Any]:
    """Time the networks of a batch, and the reference."""
    image = torch.zeros(1, 1, 8, 8)
    networks = {str(genotype): protocol.space.network(genotype).eval() for genotype in batch}
    reference = protocol.space.network(REFERENCE).eval()
    with torch.inference_mode():
        calls = {name: partial(_forward, network, image) for name, network in networks.items()}
        timings = measure({**calls, "reference": partial(_forward, reference, image)}, CPU, TIMING)
    return {
        "reference": timings.pop("reference").ms,
        "ms": {name: round(timing.ms, 5) for name, timing in timings.items()},
        "spread": round(median(timing.spread for timing in timings.values()), 4),
    }


def _forward(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = network(image)
    return logits


def read_batches(path: Path) -> list[dict[str, Any]]:
    """Return the batches of a file; none where there is no file.

    Raises:
        UserError: where it is no such file.
    """
    try:
        found = [json.loads(line) for line in complete_lines(path)]
        times = [value for batch in found for value in (batch["reference"], *batch["ms"].values())]
        if not all(is_number(value) and value > 0 for value in times):
            raise ValueError
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise UserError(f"{path}: not latencies of the digits benchmark; give another file") from None
    return found


def read_latencies(path: Path) -> Mapping[str, float]:
    """Return architecture -> milliseconds, scaled by the reference of its batch, of the classes' smallest cells."""
    batches = read_batches(path)
    if not batches:
        return {}
    usual = median(batch["reference"] for batch in batches)
    return {
        name: float(f"{value * usual / batch['reference']:.4g}")
        for batch in batches
        for name, value in batch["ms"].items()
    }
