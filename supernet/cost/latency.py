"""Measure the latency of every candidate of a space on this machine.

    python -m supernet.cost.latency --space darts --device cpu --threads 1 --batch 1 --out latency.json

Every candidate is timed at every shape in which the space uses it; random networks are timed too, by which the sums
over candidates are calibrated and checked. The table serves penalties (``--method.penalties latency:file=...``) and
limits. Nothing is written where the machine is too busy: times that spread too widely are measured again, then refused.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from rich.console import Console

from genotypes.atomic_write import require_writable
from genotypes.parsing import parsed
from supernet.bench.machine import machine
from supernet.command import exit_code, require_device, require_range
from supernet.cost.latency_table import LARGEST_BATCH, LatencyTable, measure_table
from supernet.cost.timing import NoisyMachine, Protocol
from supernet.errors import SpaceError
from supernet.shapes import ImageShape, LanguageShape, Shape, TextShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions

GOAL_TAU, GOAL_ERROR = 0.85, 0.10
"""Rank correlation and mean relative error from which on a table is called reliable."""

QUIETER = "--clock cpu --quantile 0.1 --rounds 101"
"""Options of a measurement that a busy machine disturbs less."""


LIMITS = {
    "channels": (1, 65_536),
    "layers": (1, 10_000),
    "image": (1, 16_384),
    "text": (1, 1_000_000),
    "threads": (1, 4_096),
    "batch": (1, LARGEST_BATCH),
    "rounds": (3, 1_000_000),
    "networks": (4, 1_000_000),
    "attempts": (1, 1_000),
}
"""Option -> its smallest and largest value; calibration and check need 4 networks."""


@dataclass(frozen=True)
class Options:
    """Options of ``python -m supernet.cost.latency``."""

    out: Path = Path("latency.json")
    """JSON file to write the table to."""
    space: str = "darts"
    """Search space."""
    channels: int = 16
    """Width, as in ``--space.channels`` of a search or retraining."""
    layers: int = 8
    """Depth, as in ``--space.layers``."""
    image: tuple[int, int, int] = (3, 32, 10)
    """Channels and side of the images, and number of classes."""
    text: tuple[int, int, int] = (1000, 32, 4)
    """Vocabulary, length and number of classes of sentences, for spaces of text."""
    device: str = "cpu"
    """Device to measure: cpu, cuda, cuda:1, ..."""
    threads: int = 1
    """CPU threads."""
    batch: int = 1
    """Examples of a forward pass."""
    clock: Literal["wall", "cpu"] = "wall"
    """Seconds that pass, or those that one thread on a CPU computes: other programs then disturb less."""
    rounds: int = 21
    """Times that each candidate and each network is measured."""
    quantile: float = 0.5
    """Quantile of the rounds that is taken: the median; or a low one, such as 0.1 of 101 rounds, where other programs
    disturb most rounds. They only add to a time, and the lowest agree on what it is without them."""
    networks: int = 50
    """Random networks by which the table is calibrated and checked."""
    spread: float = 0.15
    """Largest accepted spread: distance of the quantiles around the one that is taken, of the median the quartiles,
    over the time."""
    attempts: int = 3
    """How often noisy measurements are made before they are refused."""


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Measure, check, write, and print how well the table predicts."""
    prog = "python -m supernet.cost.latency"
    options: Options = parsed(lambda: tyro.cli(Options, args=arguments, prog=prog, description=__doc__))
    console = console or Console(markup=False, emoji=False)
    _check(options)
    try:
        table = measured(options, console)
    except NoisyMachine as error:
        raise SpaceError(f"{error}, or take a low quantile of more rounds ({QUIETER}), or raise --spread") from None
    table.write(options.out)
    check = table.check
    reliable = check.tau >= GOAL_TAU and check.error <= GOAL_ERROR
    console.print(
        f"{len(table.parts)} candidates and {check.networks} networks measured; predicted against measured latency: "
        f"Kendall's tau {check.tau:.3f} (goal {GOAL_TAU}), mean error {100 * check.error:.1f} % (goal "
        f"{100 * GOAL_ERROR:.0f} %){'' if reliable else ': not reliable'}; {min(check.measured):.3g} to "
        f"{max(check.measured):.3g} ms; in {options.out}",
        highlight=False,
        soft_wrap=True,
    )


def measured(options: Options, console: Console) -> LatencyTable:
    """Return the table of what the options describe.

    Raises:
        SpaceError: where an option cannot be used, or the machine is too busy.
    """
    device = torch.device(options.device)
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    began = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        if console.is_terminal:
            console.print(f"{what} {done} of {total}, {time.monotonic() - began:.0f} s", end="\r", highlight=False)

    shape = _shape(options)
    space = SPACES[options.space].make(SpaceOptions(shape, channels=options.channels, layers=options.layers))
    try:
        about: dict[str, Any] = {
            "space": options.space,
            "channels": options.channels,
            "layers": options.layers,
            "image": list(options.image if isinstance(shape, ImageShape) else options.text),
            "clock": options.clock,
            "rounds": options.rounds,
            "quantile": options.quantile,
            "machine": machine(device),
        }
        protocol = Protocol(
            rounds=options.rounds,
            quantile=options.quantile,
            spread=options.spread,
            attempts=options.attempts,
            clock=time.thread_time if options.clock == "cpu" else time.perf_counter,
        )
        return measure_table(
            space,
            shape,
            device=device,
            protocol=protocol,
            batch=options.batch,
            networks=options.networks,
            about=about,
            report=report,
        )
    finally:
        torch.set_num_threads(before)


def _check(options: Options) -> None:
    if options.space not in SPACES:
        raise SpaceError(f"--space is {options.space!r}; it must be one of {', '.join(SPACES)}")
    for name, limits in LIMITS.items():
        require_range(f"--{name}", getattr(options, name), *limits)
    if options.clock == "cpu" and (options.threads > 1 or options.device != "cpu"):
        raise SpaceError("--clock cpu measures one thread on a CPU: set --threads 1 and --device cpu")
    if not 0 < options.quantile <= 0.5:
        raise SpaceError(f"--quantile is {options.quantile}; it must be more than 0 and at most 0.5, the median")
    if not 0 < options.spread < 10:
        raise SpaceError(f"--spread is {options.spread}; it must be more than 0 and less than 10")
    if options.out.is_dir() or not options.out.parent.is_dir():
        raise SpaceError(f"--out is {options.out}; it must be a file in a folder that exists")
    require_writable(options.out)
    require_device(options.device)


def _shape(options: Options) -> Shape:
    if options.space == "recurrent":
        return LanguageShape(options.text[0])
    return TextShape(*options.text) if options.space == "textnet" else ImageShape(*options.image)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a mistake is one line and exit code 2."""
    return exit_code(lambda: main(arguments), "--batch, --channels or --layers")


if __name__ == "__main__":
    sys.exit(run())
