"""Times of the supernet's mixed operations: every fused function, and a whole pass by every backend.

    python -m supernet.bench --json FILE

First every backend is compared with the reference; if one differs, nothing is measured. Then, for each fused function,
the bytes that it moves and the operations that it computes in a forward and backward pass of a supernet at paper
settings (8 cells, 16 channels, 32x32 images), from its own launches, on a CPU from those that an H200 would get; on a
GPU also its time, and the share that it reaches of this machine's measured rates of copying and multiplying. Last come
time and memory of a whole pass by each backend.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from genotypes.atomic_write import require_writable, write_atomically
from genotypes.parsing import parsed
from supernet.bench.machine import backends_on, copy_rate, machine, product_rate
from supernet.command import exit_code, require_device, require_range
from supernet.errors import SpaceError
from supernet.fused.availability import fuse_layers
from supernet.fused.verification import verify
from supernet.mixed.backends import Backend
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace

GRAPHS = ((16, 32, 1, 2), (32, 32, 2, 1), (32, 16, 1, 2), (64, 16, 2, 1), (64, 8, 1, 2))
"""Channels, size of the inputs, stride, and number of such cells in a supernet at paper settings."""

LAYERS = ((48, 16, 1, 32, 3), (64, 16, 1, 32, 1), (64, 32, 1, 32, 2), (64, 32, 2, 32, 1), (128, 32, 1, 16, 3),
          (128, 64, 1, 16, 2), (128, 64, 2, 16, 1), (256, 64, 1, 8, 3))  # fmt: skip
"""Input and output channels, stride, size of the inputs, and number of the layers before these cells' graphs. The first
read the stem, which no gate comes before."""


@dataclass(frozen=True)
class Options:
    """Options of ``python -m supernet.bench``."""

    batch_size: int = 64
    """Images per pass."""
    storage: Literal["float32", "bfloat16"] = "bfloat16"
    """Type of states and products; a CPU always uses float32."""
    rounds: int = 5
    """Number of measured passes of each backend."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    json: Path | None = None
    """File to write the results to."""


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Compare the backends, measure functions and whole passes, print and write the results.

    Raises:
        SpaceError: where an option cannot be used, or a backend does not equal the reference.
    """
    prog = "python -m supernet.bench"
    options: Options = parsed(lambda: tyro.cli(Options, args=arguments, prog=prog, description=__doc__))
    console = console or Console()
    require_range("--batch-size", options.batch_size, 1, 65_536)
    require_range("--rounds", options.rounds, 1, 1_000_000)
    if options.device != "auto":
        require_device(options.device)
    if options.json is not None:
        require_writable(options.json)
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(found if options.device == "auto" else options.device)
    storage = torch.float32 if device.type == "cpu" else getattr(torch, options.storage)
    backends = backends_on(device)
    checks = {backend: verify(backend, device, storage) for backend in backends[1:]}
    for backend, check in checks.items():
        console.print(f"{backend}: {check}")
    wrong = [backend for backend, check in checks.items() if not check.passed]
    if wrong:
        raise SpaceError(f"{', '.join(wrong)}: not equal to the reference; nothing is measured")
    rates = copy_rate(device), product_rate(device)
    functions = _functions(options, device, rates) if find_spec("triton") else []
    console.print(_function_table(functions))
    passes = [_whole(backend, options, device, storage) for backend in backends]
    console.print(_pass_table(passes))
    if options.json is not None:
        settings = {"batch_size": options.batch_size, "storage": str(storage).removeprefix("torch.")}
        content = {"machine": machine(device), "settings": settings, "bytes_a_second": rates[0],
                   "operations_a_second": rates[1], "functions": functions, "passes": passes}  # fmt: skip
        write_atomically(options.json, (json.dumps(content, indent=2) + "\n").encode())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a mistake, or a backend that is wrong, is one line and exit code 2."""
    return exit_code(lambda: main(arguments), "--batch-size")


def _functions(options: Options, device: torch.device, rates: tuple[float, float]) -> list[dict[str, Any]]:
    """Return a row for each fused function: launches, bytes and operations of a pass; on a GPU its time too."""
    from supernet.fused.cuda import library
    from supernet.fused.launch import kernel_of
    from supernet.fused.resources import record, record_layer, shared_bytes_of
    from supernet.fused.traffic import Work, work_of

    storage = getattr(torch, options.storage)
    shared = library.shared_bytes(device) if device.type == "cuda" else shared_bytes_of(90)
    counts: dict[str, int] = defaultdict(int)
    work: dict[str, Work] = defaultdict(lambda: Work(0.0))
    recorded = [
        (count, record(DARTS_PRIMITIVES, channels, stride, options.batch_size, size, storage, shared_bytes=shared))
        for channels, size, stride, count in GRAPHS
    ]
    for inputs, channels, stride, size, count in LAYERS:
        recorded.append((count, record_layer(inputs, channels, stride, options.batch_size, size, storage)))
    for count, launches in recorded:
        for launch in launches:
            name = kernel_of(launch)
            counts[name] += count
            for _ in range(count):
                work[name] += work_of(launch)
    rows: list[dict[str, Any]] = []
    times = _kernel_times(options, device, storage) if device.type == "cuda" else {}
    for name, done in work.items():
        row = {"function": name.removeprefix("_").removesuffix("_kernel"), "launches": counts[name],
               "bytes": done.bytes, "operations": done.operations}  # fmt: skip
        if name in times:
            row |= {"seconds": times[name], "ceiling_share": done.seconds(*rates) / times[name]}
        rows.append(row)
    return rows


def _kernel_times(options: Options, device: torch.device, storage: torch.dtype) -> dict[str, float]:
    """Return kernel -> its seconds in a forward and backward pass of the supernet, measured by the profiler."""
    step = _step("fused", options, device, storage)
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize(device)
    return {event.key: event.self_device_time_total / 1e6 for event in profiler.key_averages()}


def _step(backend: Backend, options: Options, device: torch.device, storage: torch.dtype) -> Callable[[], object]:
    """Return a forward and backward pass of the supernet at paper settings."""
    torch.manual_seed(0)
    network, logits = paper_network(backend, device)
    images = torch.randn(options.batch_size, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (options.batch_size,), device=device)
    wanted = [*network.parameters(), *logits.values()]

    def step() -> object:
        with torch.autocast(device.type, storage, enabled=storage != torch.float32):
            scores = network(images, {label: logit.softmax(1) for label, logit in logits.items()})
        return torch.autograd.grad(F.cross_entropy(scores.float(), labels), wanted)

    return step


def paper_network(backend: Backend, device: torch.device) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a supernet at paper settings, and its architecture's logits by the labels of its tables."""
    space = DARTSSpace(ImageShape(3, 32, 10))
    with device:
        logits = {t.label: torch.zeros(t.rows, len(t.candidates), requires_grad=True) for t in space.tables}
        network = space.supernet(backend)
    if backend == "fused":
        fuse_layers(network, device)
    return network, logits


def _whole(backend: Backend, options: Options, device: torch.device, storage: torch.dtype) -> dict[str, Any]:
    """Return the median time of a whole pass by a backend, and on a GPU its peak memory."""
    step, seconds = _step(backend, options, device, storage), []
    for _ in range(options.rounds + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    row: dict[str, Any] = {"backend": backend, "seconds": statistics.median(seconds[1:])}
    return row | ({"peak_bytes": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {})


def _function_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("fused function", "launches", "GB", "GFLOP", "ms", "of ceiling")
    for row in rows:
        timed = [f"{1e3 * row['seconds']:.3f}", f"{100 * row['ceiling_share']:.0f} %"] if "seconds" in row else ["", ""]
        amounts = f"{row['bytes'] / 1e9:.3f}", f"{row['operations'] / 1e9:.2f}"
        table.add_row(row["function"], str(row["launches"]), *amounts, *timed)
    totals = sum(row["launches"] for row in rows), sum(row["bytes"] for row in rows) / 1e9
    table.add_row(
        "all", str(totals[0]), f"{totals[1]:.3f}", f"{sum(row['operations'] for row in rows) / 1e9:.2f}", "", ""
    )
    return table


def _pass_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("backend", "forward and backward, ms", "x reference", "peak GB")
    for row in rows:
        peak = f"{row['peak_bytes'] / 1e9:.2f}" if "peak_bytes" in row else ""
        table.add_row(row["backend"], f"{1e3 * row['seconds']:.1f}", f"{rows[0]['seconds'] / row['seconds']:.2f}", peak)
    return table
