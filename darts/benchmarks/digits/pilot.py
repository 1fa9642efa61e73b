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

from darts.artifacts.run_folder import read_object
from darts.benchmarks.digits.building import SIDE_BY_SIDE
from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.training import CPU, PROTOCOL, TEST_IMAGES, Protocol, Row, Training, trainer
from darts.benchmarks.workers import worked_off
from darts.config.ranges import is_number
from darts.errors import UserError
from genotypes.atomic_write import require_writable, write_atomically
from supernet.bench.machine import machine

BEST = 10
"""The best are one architecture in ``BEST``."""

FEWEST = 2 * BEST
"""Architectures of a sample: the best of them have to be two."""

QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)

SPREAD = 20.0
"""Points of test accuracy from the 5 % to the 95 % quantile of architectures: the least of a recommended protocol."""

NEEDED = ("protocol", "spread", "tau")
"""What the file has of each protocol, by which it is compared with others."""

CANDIDATES = tuple(
    replace(PROTOCOL, channels=channels, batch_size=batch, epochs=epochs, lr=lr)
    for channels, batch, epochs, lr in (
        (16, 50, 5, 0.1),
        (8, 50, 5, 0.1),
        (16, 50, 3, 0.1),
        (16, 100, 5, 0.1),
        (16, 50, 5, 0.05),
        (16, 50, 5, 0.2),
    )
)
"""The protocols that are compared, the first ones first where time is short."""


def pilot(
    out: Path, *, count: int, processes: int, max_seconds: float, protocols: Sequence[Protocol], console: Console
) -> None:
    """Train a sample with each protocol that the file does not hold yet, as far as the time allows.

    Args:
        out: JSON file of how well each discriminates, which is continued where it exists.
        count: of architectures, ``FEWEST`` or more.
        processes: of one thread each.
        max_seconds: after which no further protocol is begun.
        protocols: that are compared.
        console: gets a line for each protocol, and the one that is recommended.

    Raises:
        UserError: where the file is of another sample, or cannot be read.
    """
    began = time.monotonic()
    found = read_pilot(out, count)
    require_writable(out)
    architectures = Random(1).sample([str(genotype) for genotype in classes()], count)
    for number, protocol in enumerate(protocols, 1):
        about = json.loads(json.dumps(asdict(protocol)))
        if about in [each["protocol"] for each in found]:
            continue
        if time.monotonic() - began > max_seconds:
            break
        rows = [(architecture, seed) for architecture in architectures for seed in protocol.seeds]
        jobs = [tuple(rows[first : first + SIDE_BY_SIDE]) for first in range(0, len(rows), SIDE_BY_SIDE)]
        made: dict[Row, Training] = {}
        things = f"trainings of protocol {number} of {len(protocols)}"
        for each in worked_off(partial(trainer, protocol), jobs, processes, things=things, console=console, size=len):
            made.update(zip(*each))
        found.append({"protocol": about, **discrimination(made, architectures, protocol), "machine": machine(CPU)})
        console.print(json.dumps(found[-1]), highlight=False)
        content = {"architectures": count, "recommended": recommended(found), "protocols": found}
        write_atomically(out, (json.dumps(content, indent=2) + "\n").encode())
    console.print(f"recommended: {recommended(found)}; in {out}", highlight=False)


def read_pilot(path: Path, count: int) -> list[dict[str, Any]]:
    """Return what a file holds of each protocol; nothing where there is no file.

    Raises:
        UserError: where it is no such file, or of a sample of another size.
    """
    content = read_object(path) if path.exists() else {"architectures": count, "protocols": []}
    found = content.get("protocols")
    if not isinstance(found, list) or not all(map(_is_protocol, found)):
        raise UserError(f"{path}: not a comparison of protocols; give another file")
    if content.get("architectures") != count:
        theirs = content.get("architectures")
        raise UserError(f"{path}: made with `count` {theirs}, not {count}; give another file")
    return found


def _is_protocol(each: Any) -> bool:
    """Return whether a value is what is known of a protocol, as far as it is read again."""
    if not isinstance(each, dict) or not {*NEEDED} <= each.keys() or not isinstance(each["tau"], dict):
        return False
    return isinstance(each["protocol"], dict) and is_number(each["spread"]) and is_number(each["tau"].get("all"))


def recommended(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the protocol whose seeds agree best, of those whose accuracies spread by ``SPREAD``; None without any."""
    wide = [each for each in found if each["spread"] >= SPREAD]
    return max(wide, key=lambda each: float(each["tau"]["all"]))["protocol"] if wide else None


def discrimination(made: Mapping[Row, Training], architectures: Sequence[str], protocol: Protocol) -> dict[str, Any]:
    """Return how well trainings tell architectures apart.

    Returns:
        ``seconds`` and ``evaluation_seconds`` of a training; ``QUANTILES`` of the test accuracy in percent, and the
        ``spread`` from the second to the last but one; Kendall's tau between the test accuracies of two seeds, mean
        over all pairs, over all, the best half, quarter and tenth; the same for validation and test images together,
        and for the test loss; and how much seeds spread (standard deviation, percent).
    """
    trained = [[made[architecture, seed] for seed in protocol.seeds] for architecture in architectures]
    flat = [each for row in trained for each in row]
    correct = np.array([[each.test_correct[-1] for each in row] for row in trained], float)
    loss = -np.array([[each.test_loss[-1] for each in row] for row in trained])
    both = np.array([[each.test_correct[-1] + each.valid_correct[-1] for each in row] for row in trained], float)
    accuracy = 100 * correct / TEST_IMAGES
    quantiles = np.quantile(accuracy.mean(1), QUANTILES)
    low, high = (quantiles[QUANTILES.index(share)] for share in (0.05, 0.95))
    sizes = {"all": 1, "half": 2, "quarter": 4, "tenth": BEST}
    return {
        "seconds": fmean(each.seconds for each in flat),
        "evaluation_seconds": fmean(each.evaluation_seconds for each in flat),
        "quantiles": quantiles.round(2).tolist(),
        "spread": round(float(high - low), 2),
        "tau": {name: _tau(correct, size) for name, size in sizes.items()},
        "tau_both": {name: _tau(both, size) for name, size in sizes.items()},
        "tau_loss": {name: _tau(loss, size) for name, size in sizes.items()},
        "spread_of_seeds": float(accuracy.std(1, ddof=1).mean()),
    }


def _tau(figures: np.ndarray, size: int) -> float:
    """Return Kendall's tau between two seeds, mean over pairs, among one in ``size`` architectures, the best by mean; 0
    where a seed ranks none above another.

    Args:
        figures: ``(n, s)``.
    """
    best = figures[(-figures.mean(1)).argsort(kind="stable")[: len(figures) // size]]
    pairs = combinations(best.T, 2)
    return fmean(float(np.nan_to_num(kendalltau(first, second)[0])) for first, second in pairs)
