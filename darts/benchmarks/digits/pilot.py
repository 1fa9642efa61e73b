"""The choice of the protocol: how well each of some protocols tells a sample of architectures apart.

For each protocol the same random classes are trained with three seeds. A protocol discriminates where accuracies spread
widely and two seeds rank the architectures alike, over all and among the best tenth.

Axes: ``n`` architecture, ``s`` seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import numpy as np
from rich.console import Console
from scipy.stats import kendalltau

from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.training import CPU, PROTOCOL, Protocol, Training, trainer
from darts.benchmarks.workers import in_processes
from genotypes.atomic_write import write_atomically
from supernet.bench.machine import machine

BEST = 10
"""One in so many architectures is among the best."""

CANDIDATES = tuple(
    replace(
        PROTOCOL,
        channels=channels,
        train_images=images,
        batch_size=batch,
        epochs=epochs,
        lr=lr,
        norm_momentum=momentum,
    )
    for channels, images, batch, epochs, lr, momentum in (
        (8, 300, 50, 2, 0.1, 0.3),
        (8, 300, 50, 3, 0.1, 0.3),
        (8, 300, 50, 3, 0.03, 0.3),
        (8, 300, 100, 4, 0.1, 0.3),
        (8, 300, 100, 4, 0.03, 0.3),
        (8, 300, 50, 4, 0.02, 0.3),
        (8, 300, 50, 3, 0.01, 0.3),
        (8, 600, 200, 4, 0.03, 0.3),
        (8, 600, 200, 6, 0.01, 0.3),
        (16, 300, 100, 4, 0.03, 0.3),
        (8, 300, 50, 3, 0.1, 0.1),
        (8, 100, 25, 4, 0.05, 0.3),
        (8, 100, 50, 10, 0.05, 0.3),
        (4, 300, 50, 4, 0.05, 0.3),
        (8, 300, 50, 6, 0.01, 0.3),
        (8, 300, 50, 8, 0.1, 0.1),
    )
)
"""The protocols that are compared, the first ones first where time is short."""


def pilot(
    out: Path, *, count: int, processes: int, max_seconds: float, protocols: Sequence[Protocol], console: Console
) -> None:
    """Train a sample with each protocol, as far as the time allows; write and print how well each discriminates.

    Args:
        out: JSON file.
        count: of architectures.
        processes: of one thread each.
        max_seconds: after which no further protocol is begun.
        protocols: that are compared.
        console: gets a line for each protocol.
    """
    began, found = time.monotonic(), []
    architectures = Random(1).sample([str(genotype) for genotype in classes()], count)
    ran = machine(CPU)
    for protocol in protocols:
        if time.monotonic() - began > max_seconds:
            break
        jobs = [(architecture, seed) for architecture in architectures for seed in protocol.seeds]
        made = dict(
            each
            for each in in_processes(partial(trainer, protocol), jobs, processes, lambda: False)
            if each is not None
        )
        figures = discrimination(made, architectures, protocol)
        found.append({"protocol": asdict(protocol), **figures})
        console.print(json.dumps(found[-1]), highlight=False)
        content = {"architectures": count, "machine": ran, "protocols": found}
        write_atomically(out, (json.dumps(content, indent=2) + "\n").encode())


def discrimination(
    made: Mapping[tuple[str, int], Training], architectures: Sequence[str], protocol: Protocol
) -> dict[str, Any]:
    """Return how well trainings tell architectures apart.

    Returns:
        ``seconds`` and ``evaluation_seconds`` of a training; quantiles of the test accuracy (percent); Kendall's tau
        between the test accuracies of two seeds, mean over all pairs, over all, the best half, quarter and tenth; the
        same for the test loss; and how much seeds spread (standard deviation, percent).
    """
    trained = [[made[architecture, seed] for seed in protocol.seeds] for architecture in architectures]
    flat = [each for row in trained for each in row]
    correct = np.array([[each.test_correct[-1] for each in row] for row in trained], float)
    loss = -np.array([[each.test_loss[-1] for each in row] for row in trained])
    both = np.array([[each.test_correct[-1] + each.valid_correct[-1] for each in row] for row in trained], float)
    accuracy = 100 * correct / protocol.test_images
    quantiles = np.quantile(accuracy.mean(1), (0, 0.05, 0.25, 0.5, 0.75, 0.9, 1))
    sizes = {"all": 1, "half": 2, "quarter": 4, "tenth": BEST}
    return {
        "seconds": fmean(each.seconds for each in flat),
        "evaluation_seconds": fmean(each.evaluation_seconds for each in flat),
        "quantiles": quantiles.round(2).tolist(),
        "tau": {name: _tau(correct, size) for name, size in sizes.items()},
        "tau_both": {name: _tau(both, size) for name, size in sizes.items()},
        "tau_loss": {name: _tau(loss, size) for name, size in sizes.items()},
        "spread_of_seeds": float(accuracy.std(1, ddof=1).mean()),
    }


def _tau(figures: np.ndarray, size: int) -> float:
    """Return Kendall's tau between two seeds, mean over pairs, among one in ``size`` architectures, the best by mean.

    Args:
        figures: ``(n, s)``.
    """
    best = figures[figures.mean(1).argsort()[::-1][: len(figures) // size]]
    return fmean(float(kendalltau(best[:, a], best[:, b])[0]) for a, b in combinations(range(best.shape[1]), 2))
