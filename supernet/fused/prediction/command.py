"""The time of a first-order search step on a GPU, predicted without one.

    python -m supernet.fused.prediction --json FILE

The step is that of DARTS's supernet at paper settings in 16 bits, captured in a CUDA graph: a pass with the weights'
gradients, one with the architecture's. Each launch of the fused kernels is recorded; the machine instructions that its
warps execute are counted (``supernet.fused.prediction.counting``), and the bytes that it moves
(``supernet.fused.traffic``). A launch takes the longest of three times, plus its start: of all instructions at a share
of the rate at which the GPU could issue them; of the instructions of the multiprocessor with most blocks, each of whose
warps issues one in ``--latency`` cycles; and of the bytes at the GPU's bandwidth. Every other operation of PyTorch
takes the same time. Not modelled: single waits for memory and tensor cores, and launches beside each other.

``--latency`` and ``--operation`` were chosen by the profile of one such step on an H200, which took 28.2 ms
(``benchmarks/results/gpu_h200.json``, the last run). With them the sum was right within a tenth for the kernels of that
time, most kernels within a factor of two. The clock was measured on the same GPU.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import triton
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from genotypes.atomic_write import require_writable, write_atomically
from genotypes.parsing import parsed
from supernet.bench.kernels import GRAPHS, LAYERS
from supernet.command import exit_code, require_range
from supernet.errors import SpaceError
from supernet.fused.launch import REGISTERS, ceil_div
from supernet.fused.prediction.counting import Count, count, same_work
from supernet.fused.prediction.operations import inside, optimizers, outside
from supernet.fused.resources import RESERVED, name_of, record, record_layer, shared_bytes_of
from supernet.fused.traffic import work_of
from supernet.spaces.darts import DARTS_PRIMITIVES

PASSES = {"weights": True, "architecture": False}
"""Pass of a step -> whether it computes the weights' gradients."""

ARCH = 90
"""Compute capability of the GPU, times ten."""

ISSUED_A_CYCLE = 4
"""Instructions that a multiprocessor issues in a cycle at most."""

SHARED, WARPS, BLOCKS = 233_472, 64, 32
"""What a multiprocessor has beside registers: bytes of shared memory, and room for warps and blocks."""


@dataclass(frozen=True)
class Options:
    """Options of ``python -m supernet.fused.prediction``."""

    batch_size: int = 64
    """Images per pass."""
    storage: Literal["bfloat16", "float16"] = "bfloat16"
    """Type of states and products."""
    multiprocessors: int = 132
    """Of the GPU."""
    clock: float = 1.8e9
    """Cycles per second."""
    issue: float = 0.6
    """Largest share of the instructions that a multiprocessor could issue."""
    latency: float = 12.0
    """Cycles from one instruction of a warp to its next, at least."""
    bandwidth: float = 4.3e12
    """Bytes of memory moved per second."""
    start: float = 1e-6
    """Seconds from one launch in a captured graph to the next."""
    operation: float = 4e-6
    """Seconds of an operation of PyTorch on the device, its start included."""
    json: Path | None = None
    """File to write every launch to."""


@dataclass(frozen=True)
class Predicted:
    """Launches of a step that are alike.

    Attributes:
        part: pass of the step.
        launches: how many of a step, all together.
        ptx, instructions: executed instructions of warps of one launch, of PTX and of machine code.
        by_loops: whether machine code was counted loop by loop, else by the ratio of PTX to machine code.
        sampled: number of blocks that were interpreted.
        shared: bytes of shared memory of a block.
        occupancy: share of the room for warps that the blocks of a full multiprocessor take.
        bytes: moved by one launch.
        seconds: of one launch.
    """

    part: str
    kernel: str
    grid: tuple[int, ...]
    launches: int
    ptx: float
    instructions: float
    by_loops: bool
    sampled: int
    registers: int
    shared: int
    occupancy: float
    bytes: float
    seconds: float


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Print and write the prediction.

    Raises:
        SpaceError: where an option cannot be used, or NVRTC is not installed.
    """
    prog = "python -m supernet.fused.prediction"
    options: Options = parsed(lambda: tyro.cli(Options, args=arguments, prog=prog, description=__doc__))
    console = console or Console()
    require_range("--batch-size", options.batch_size, 1, 65_536)
    require_range("--multiprocessors", options.multiprocessors, 1, 10_000)
    for name in ("clock", "issue", "bandwidth"):
        if not 0 < getattr(options, name) < 1e18:
            raise SpaceError(f"--{name} is {getattr(options, name)}; it must be greater than 0")
    for name in ("latency", "start", "operation"):
        if not 0 <= getattr(options, name) < 1e18:
            raise SpaceError(f"--{name} is {getattr(options, name)}; it must be 0 or greater")
    if not shared_bytes_of(ARCH):
        raise SpaceError("NVRTC, which compiles the CUDA kernels, is not installed")
    if options.json is not None:
        require_writable(options.json)
    rows = [*predicted(options)]
    operations = operations_of(options)
    content = summary(rows, operations, options)
    if not console.is_terminal:
        console.width = 120  # rich assumes 80 columns for a file, which truncates names
    console.print(_kernel_table(rows))
    console.print(_total_table(content), f"assumed: {content['assumed']}", highlight=False)
    if options.json is not None:
        content |= {"operations": operations, "launches": [asdict(row) for row in rows]}
        write_atomically(options.json, (json.dumps(content, indent=2) + "\n").encode())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a mistake is one line and exit code 2."""
    return exit_code(lambda: main(arguments), "--batch-size")


def predicted(
    options: Options,
    graphs: Sequence[tuple[int, int, int, int]] = GRAPHS,
    layers: Sequence[tuple[int, int, int, int, int]] = LAYERS,
) -> Iterator[Predicted]:
    """Yield the launches of a step, those that are alike together; the progress is shown on a terminal.

    Args:
        graphs: channels, size of the inputs, stride and number of the mixed graphs.
        layers: input and output channels, stride, size of the inputs and number of the layers before them; those of
            the first row read the stem.
    """
    passes = [(given, *one) for given in (*graphs, *layers) for one in PASSES.items()]
    known: dict[tuple[object, ...], Count] = {}
    console = Console(stderr=True)
    for given, part, weights in track(passes, "counting", console=console, transient=True):
        alike: dict[tuple[object, ...], list[Any]] = {}
        for launch in _launches(given, options, weights=weights, image=weights or given not in layers[:1]):
            alike.setdefault(same_work(launch), []).append(launch)
        for key, (launch, *others) in alike.items():
            if (given, key) not in known:
                known[given, key] = count(launch, ARCH)
            yield _predict(part, launch, given[-1] * (1 + len(others)), known[given, key], options)


def _launches(given: tuple[int, ...], options: Options, *, weights: bool, image: bool) -> list[Any]:
    """Return the launches of a pass of a row of ``GRAPHS`` or of ``LAYERS``."""
    storage = getattr(torch, options.storage)
    if len(given) == 5:
        inputs, channels, stride, size, _ = given
        sizes = inputs, channels, stride, options.batch_size, size, storage
        return record_layer(*sizes, image=image, weights=weights, device="cpu")
    channels, size, stride, _ = given
    graph = DARTS_PRIMITIVES, channels, stride, options.batch_size, size, storage, weights
    return record(*graph, shared_bytes=shared_bytes_of(ARCH), device="cpu")


def _predict(part: str, launch: Any, launches: int, found: Count, options: Options) -> Predicted:
    moved, usage, blocks = work_of(launch).bytes, found.usage, math.prod(launch.grid)
    room, warps = occupancy(usage.registers, usage.shared, found.threads), found.threads // 32
    of_one = ceil_div(blocks, options.multiprocessors)
    resident = min(of_one * warps, room * WARPS)
    cycles = (
        found.machine / (options.multiprocessors * ISSUED_A_CYCLE * options.issue),
        found.machine / blocks * of_one * options.latency / resident,
    )
    seconds = max(max(cycles) / options.clock, moved / options.bandwidth) + options.start
    return Predicted(
        part=part, kernel=name_of(launch).removesuffix("_kernel"), grid=tuple(launch.grid), launches=launches,
        ptx=found.ptx, instructions=found.machine, by_loops=found.matched, sampled=found.sampled,
        registers=usage.registers, shared=usage.shared, occupancy=room, bytes=moved, seconds=seconds,
    )  # fmt: skip


def occupancy(registers: int, shared: int, threads: int) -> float:
    """Return the share of a multiprocessor's room for warps that blocks fill.

    Args:
        registers: of a thread.
        shared: bytes of shared memory of a block, beside those that CUDA takes.
        threads: of a block.
    """
    warps = threads // 32
    of_a_warp = -(-registers * 32 // 256) * 256
    blocks = min(BLOCKS, WARPS // warps, REGISTERS // (of_a_warp * warps), SHARED // (shared + RESERVED))
    return blocks * warps / WARPS


def operations_of(options: Options) -> dict[str, dict[str, int]]:
    """Return where -> operation of PyTorch -> how many a step has on the device."""
    found: dict[str, dict[str, int]] = {}
    storage = getattr(torch, options.storage)
    for part, weights in PASSES.items():
        shared = shared_bytes_of(ARCH)
        found[f"{part}, inside the graphs"] = dict(inside(storage, options.batch_size, shared, weights=weights))
        found[f"{part}, outside"] = dict(outside(storage, options.batch_size, weights=weights))
    return found | {"optimizers": dict(optimizers())}


def summary(rows: Sequence[Predicted], operations: dict[str, dict[str, int]], options: Options) -> dict[str, Any]:
    """Return the sums of a step, and of each pass."""
    others = {where: sum(names.values()) for where, names in operations.items()}
    parts = {}
    for part in PASSES:
        own = [row for row in rows if row.part == part]
        parts[part] = {
            "launches": sum(row.launches for row in own),
            "instructions": sum(row.launches * row.instructions for row in own),
            "instructions_by_loops": sum(row.launches * row.instructions for row in own if row.by_loops),
            "bytes": sum(row.launches * row.bytes for row in own),
            "seconds": sum(row.launches * row.seconds for row in own),
        }
    launches = sum(row.launches for row in rows)
    seconds = sum(row.launches * row.seconds for row in rows) + sum(others.values()) * options.operation
    assumed = {key: value for key, value in asdict(options).items() if key != "json"}
    versions = {"torch": torch.__version__, "triton": triton.__version__, "compute_capability": ARCH}
    return {"versions": versions, "assumed": assumed, "passes": parts, "operations_of_pytorch": others,
            "operations_on_device": launches + sum(others.values()), "seconds": seconds}  # fmt: skip


def _kernel_table(rows: Sequence[Predicted]) -> Table:
    names = dict.fromkeys((row.part, row.kernel) for row in rows)
    table = Table("pass", "kernel", "launches", "10^6 instr.", "by loops", "GB", "registers", "occupancy", "ms")
    for part, kernel in names:
        own = [row for row in rows if (row.part, row.kernel) == (part, kernel)]
        instructions = sum(row.launches * row.instructions for row in own)
        loops = sum(row.launches * row.instructions for row in own if row.by_loops) / max(instructions, 1)
        registers, room = {row.registers for row in own}, {round(100 * row.occupancy) for row in own}
        table.add_row(
            part, kernel, str(sum(row.launches for row in own)), f"{instructions / 1e6:,.0f}", f"{100 * loops:.0f} %",
            f"{sum(row.launches * row.bytes for row in own) / 1e9:.3f}", _spread(registers), f"{_spread(room)} %",
            f"{1e3 * sum(row.launches * row.seconds for row in own):.2f}",
        )  # fmt: skip
    return table


def _spread(values: set[int]) -> str:
    return str(min(values)) if len(values) == 1 else f"{min(values)}-{max(values)}"


def _total_table(content: dict[str, Any]) -> Table:
    table = Table("of a step", "on the device", "10^9 instr.", "GB", "ms")
    for part, own in content["passes"].items():
        numbers = f"{own['instructions'] / 1e9:.2f}", f"{own['bytes'] / 1e9:.2f}", f"{1e3 * own['seconds']:.2f}"
        table.add_row(f"fused kernels, {part}", str(own["launches"]), *numbers)
    for where, number in content["operations_of_pytorch"].items():
        table.add_row(f"PyTorch, {where}", str(number), "", "", f"{1e3 * number * content['assumed']['operation']:.2f}")
    table.add_row("all", str(content["operations_on_device"]), "", "", f"{1e3 * content['seconds']:.2f}")
    return table
