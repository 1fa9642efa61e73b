"""How fast the supernet's mixed operations are: every fused function, and a whole pass by every backend.

    python -m supernet.bench --json FILE

First the gate: each backend must equal the reference, or no time is printed. Then, for each fused function, what it
moves and computes in a forward and backward pass of a supernet at paper settings (8 cells, 16 channels, 32x32 images),
from its own launches; on a GPU its time too, and the share it reaches of what this machine's measured rates of copying
and multiplying allow. At last the time and memory of the whole pass by each backend.
"""

from __future__ import annotations

import copy
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

from genotypes.atomic_write import write_atomically
from supernet.bench.machine import backends_on, copy_rate, machine, product_rate
from supernet.mixed.graph import MixedGraph
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace

GRAPHS = ((16, 32, 1, 2), (32, 32, 2, 1), (32, 16, 1, 2), (64, 16, 2, 1), (64, 8, 1, 2))
"""Width, size of the inputs, stride, and number of the supernet's cells at paper settings."""

GATE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Largest error of a backend's gradients, relative to the RMS of the reference's."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    batch_size: int = 64
    """Images a pass."""
    storage: Literal["float32", "bfloat16"] = "bfloat16"
    """Type of states and products; a CPU takes float32."""
    rounds: int = 5
    """Measured passes of each backend."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    json: Path | None = None
    """Where to write the figures."""


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Gate, functions, whole passes."""
    options, console = tyro.cli(Options, args=arguments), console or Console()
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(found if options.device == "auto" else options.device)
    storage = torch.float32 if device.type == "cpu" else getattr(torch, options.storage)
    backends = backends_on(device)
    errors = {backend: gate(backend, device, storage) for backend in backends[1:]}
    for backend, error in errors.items():
        console.print(f"{backend}: largest error {error:.1e} of the reference's RMS")
    wrong = [backend for backend, error in errors.items() if not error <= _tolerance(device, storage)]
    if wrong:
        raise SystemExit(f"{', '.join(wrong)}: not equal to the reference; nothing is measured")
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


def _tolerance(device: torch.device, storage: torch.dtype) -> float:
    return GATE[torch.float64 if device.type == "cpu" else storage]


def gate(backend: str, device: torch.device, storage: torch.dtype) -> float:
    """The largest RMS of an error of a backend's nodes and gradients, relative to the reference in float64.

    On a CPU both compute in float64.
    """
    torch.manual_seed(0)
    worst = 0.0
    for stride in (1, 2):
        exact = MixedGraph(16, DARTS_PRIMITIVES, 2, 4, stride, "reference").double().to(device)
        tested = copy.deepcopy(exact)
        tested.backend = backend
        states = [torch.randn(4, 16, 9, 8, device=device, dtype=torch.float64) for _ in range(2)]
        edges = sum(len(source.rows) for source in exact.sources)
        gates = torch.rand(edges, len(DARTS_PRIMITIVES), device=device, dtype=torch.float64)
        given = states, gates
        if device.type != "cpu":
            tested.float()
            given = [x.to(storage) for x in states], gates.float()
        for a, b in zip(_pass(exact, states, gates), _pass(tested, *given), strict=True):
            rms = a.double().square().mean().sqrt()
            worst = max(worst, ((a - b.double()).square().mean().sqrt() / rms.clamp_min(1e-6)).item())
    return worst


def _pass(graph: MixedGraph, states: Sequence[torch.Tensor], gates: torch.Tensor) -> list[torch.Tensor]:
    states, gates = [s.clone().requires_grad_() for s in states], gates.clone().requires_grad_()
    nodes = graph(states, gates)[len(states) :]
    loss = sum((node.float() * torch.linspace(-1, 1, node.numel(), device=node.device).view(node.shape)).sum()
               for node in nodes)  # fmt: skip
    wanted = [*states, gates, *graph.parameters()]
    return [*nodes, *torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)]


def _functions(options: Options, device: torch.device, rates: tuple[float, float]) -> list[dict[str, Any]]:
    """Of each fused function: launches, bytes and operations of a pass; on a GPU time and share of the ceiling."""
    from supernet.fused.resources import record
    from supernet.fused.traffic import Work, work_of

    storage = getattr(torch, options.storage)
    counts: dict[str, int] = defaultdict(int)
    work: dict[str, Work] = defaultdict(lambda: Work(0.0))
    for channels, size, stride, alike in GRAPHS:
        for launch in record(DARTS_PRIMITIVES, channels, stride, options.batch_size, size, storage):
            name = launch.kernel.__name__
            counts[name] += alike
            for _ in range(alike):
                work[name] += work_of(launch)
    rows = []
    times = _kernel_times(options, device, storage) if device.type == "cuda" else {}
    for name, done in work.items():
        row = {"function": name.removeprefix("_").removesuffix("_kernel"), "launches": counts[name],
               "bytes": done.bytes, "operations": done.operations}  # fmt: skip
        if name in times:
            row |= {"seconds": times[name], "ceiling_share": done.seconds(*rates) / times[name]}
        rows.append(row)
    return rows


def _kernel_times(options: Options, device: torch.device, storage: torch.dtype) -> dict[str, float]:
    """Kernel -> its seconds in a forward and backward pass of the supernet, as the profiler sees them."""
    step = _step("fused", options, device, storage)
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize(device)
    return {event.key: event.self_device_time_total / 1e6 for event in profiler.key_averages()}


def _step(backend: str, options: Options, device: torch.device, storage: torch.dtype) -> Callable[[], object]:
    """A forward and backward pass of the supernet at paper settings."""
    torch.manual_seed(0)
    space = DARTSSpace(ImageShape(3, 32, 10))
    network = space.supernet(backend).to(device)
    images = torch.randn(options.batch_size, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (options.batch_size,), device=device)
    logits = {t.label: torch.zeros(t.rows, len(t.candidates), device=device, requires_grad=True) for t in space.tables}
    wanted = [*network.parameters(), *logits.values()]

    def step() -> object:
        with torch.autocast(device.type, storage, enabled=storage != torch.float32):
            scores = network(images, {label: logit.softmax(1) for label, logit in logits.items()})
        return torch.autograd.grad(F.cross_entropy(scores.float(), labels), wanted)

    return step


def _whole(backend: str, options: Options, device: torch.device, storage: torch.dtype) -> dict[str, Any]:
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
    row = {"backend": backend, "seconds": statistics.median(seconds[1:])}
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
