"""The stages of a session on a GPU that run in this project's own code (``darts.bench.gpu``).

Each is called with the file of its results, the device and the batch size, and writes its rows as they come. What
raises an error is a row with that error.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from darts.artifacts.checkpoint import write_atomically
from darts.bench.contenders import BenchConfig, GraphMode, graph_modes, search_task
from supernet.bench.kernels import GRAPHS, LAYERS
from supernet.bench.machine import backends_on, copy_rate, machine, product_rate, seconds_of
from supernet.mixed.backends import Backend
from supernet.spaces.darts import DARTS_PRIMITIVES

SIZES = ((16, (32, 32)), (20, (33, 31)), (36, (16, 5)), (64, (8, 8)))
"""Channels and sizes of the images on which the kernels are checked."""

STEPS = 20
"""Steps of a loss curve on a GPU; 2 on a CPU."""


def environment(file: Path, device: torch.device, batch_size: int) -> None:
    """Write versions, measured rates, and the seconds of a node of a CUDA graph."""
    row = machine(device) | {"copy_bytes_per_second": copy_rate(device)}
    row["product_flops_per_second"] = product_rate(device)
    if find_spec("triton") is not None:
        import triton

        row["triton"] = triton.__version__
    _write(file, [row])
    if device.type == "cuda":
        row["properties"] = str(torch.cuda.get_device_properties(device))
        row["graph_node_seconds"] = _graph_node_seconds(device)
        _write(file, [row])


def _graph_node_seconds(device: torch.device, nodes: int = 2000) -> float:
    x, graph = torch.zeros(16, device=device), torch.cuda.CUDAGraph()
    x.add_(1)
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph):
        for _ in range(nodes):
            x.add_(1)
    return min(seconds_of(graph.replay, device) for _ in range(5)) / nodes


def compile_kernels(file: Path, device: torch.device, batch_size: int) -> None:
    """Compile all kernels of a search at paper settings into the caches, in parallel; on a GPU only."""
    began, count = time.monotonic(), min(os.cpu_count() or 1, 16)
    if device.type == "cuda":
        with ProcessPoolExecutor(count, get_context("spawn")) as pool:
            given = range(count), [count] * count, [batch_size] * count, [device] * count
            compiled = sum(pool.map(_compile_share, *given))
        _write(file, [{"processes": count, "kernels": compiled, "seconds": time.monotonic() - began}])


def _compile_share(first: int, step: int, batch_size: int, device: torch.device) -> int:
    """Compile every ``step``-th kernel; return their number."""
    from supernet.fused.cuda import library
    from supernet.fused.handling import CudaLaunch
    from supernet.fused.launch import argument_types, options_of
    from supernet.fused.resources import distinct, record, record_layer

    torch.empty(1, device=device)  # lets the driver know which GPU kernels are loaded on
    index = device.index if device.index is not None else torch.cuda.current_device()
    launches = [
        launch
        for channels, size, stride, _ in GRAPHS
        for shared in (0, library.shared_bytes(device))
        for launch in record(DARTS_PRIMITIVES, channels, stride, batch_size, size, shared_bytes=shared)
    ]
    for inputs, channels, stride, size, _ in LAYERS:
        launches += record_layer(inputs, channels, stride, batch_size, size)
    own = distinct(launches)[first::step]
    for launch in own:
        if isinstance(launch, CudaLaunch):
            library.kernel(launch.name, launch.file, launch.definitions, index)
        else:
            options_of(launch.kernel, argument_types(launch.arguments), tuple(launch.constants.items()), launch.warps)
    return len(own)


def check(file: Path, device: torch.device, batch_size: int) -> None:
    """Write the largest errors of every backend, and of the layers before the graphs, against float64."""
    from supernet.fused.verification import verify, verify_layers

    storages = (torch.float32, torch.bfloat16, torch.float16) if device.type == "cuda" else (torch.float32,)

    def row(storage: torch.dtype, backend: Any, **sizes: Any) -> dict[str, Any]:
        layers = backend == "layers"
        found = verify_layers(device, storage) if layers else verify(backend, device, storage, **sizes)
        return {name: getattr(found, name) for name in ("nodes", "gradients", "medians", "passed")}

    cases: list[dict[str, Any]] = [
        {"backend": backend, "channels": channels, "size": size, "storage": storage}
        for backend in reversed(backends_on(device)[1:])
        for channels, size in SIZES
        for storage in storages
    ]
    if "fused" in backends_on(device):
        cases += [{"backend": "layers", "storage": storage} for storage in storages]
    _rows(file, cases, row)


def losses(file: Path, device: torch.device, batch_size: int) -> None:
    """Write the loss curve of every backend, captured and not, and on a GPU its peak memory."""

    def row(backend: Backend, graph: GraphMode, precision: str) -> dict[str, Any]:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        task = search_task(_config(batch_size, precision), device, backend, "first_order", graph)
        task.begin_epoch(1, 0)
        taken = [task.step() for _ in range(STEPS if device.type == "cuda" else 2)]
        found: dict[str, Any] = {"losses": [(step["loss"] / step["images"]).item() for step in taken]}
        found["captured"] = not task.graph.refused and graph == "on"
        if device.type == "cuda":
            found["peak_bytes"] = torch.cuda.max_memory_allocated(device)
        return found

    _rows(file, _ways(device), row)


def profile(file: Path, device: torch.device, batch_size: int) -> None:
    """Write the kernels of a step by every backend, with their number and time, the longest first."""
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU

    def row(backend: Backend, graph: GraphMode, precision: str) -> dict[str, Any]:
        task = search_task(_config(batch_size, precision), device, backend, "first_order", graph)
        task.begin_epoch(1, 0)
        for _ in range(5 if device.type == "cuda" else 1):
            task.step()
        with torch.profiler.profile(activities=[activity]) as profiler:
            seconds = seconds_of(task.step, device)
        kernels = []
        for event in profiler.key_averages():
            spent = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
            kernels.append({"kernel": event.key[:90], "count": event.count, "us": spent})
        kernels.sort(key=lambda kernel: -kernel["us"])
        return {"seconds": seconds, "launches": sum(kernel["count"] for kernel in kernels), "kernels": kernels[:60]}

    _rows(file, _ways(device), row)


def _config(batch_size: int, precision: str) -> BenchConfig:
    return BenchConfig(batch_size, precision="bfloat16" if precision == "bfloat16" else "float32", rounds=STEPS)


def _ways(device: torch.device) -> list[dict[str, Any]]:
    """Return every way to compute a search step: the fused kernels first, captured ones before others."""
    if device.type != "cuda":
        return [{"backend": "batched", "graph": "off", "precision": "float32"}]
    return [
        {"backend": backend, "graph": graph, "precision": precision}
        for backend in reversed(backends_on(device))
        for graph in graph_modes(device, backend)
        for precision in ("bfloat16", "float32")
    ]


def _rows(file: Path, cases: Iterable[dict[str, Any]], row: Callable[..., dict[str, Any]]) -> None:
    """Write a row for each case after it is computed; an error is a row too."""
    rows: list[dict[str, Any]] = []
    for case in cases:
        try:
            found = row(**case)
        except Exception as error:  # whatever a kernel, a compiler or a driver raises: the session is to find it
            found = {"error": f"{type(error).__name__}: {error}"[:1500]}
        rows.append({name: str(value) for name, value in case.items()} | found)
        _write(file, rows)


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    write_atomically(file, (json.dumps(rows, indent=2) + "\n").encode())


STAGES: dict[str, Callable[[Path, torch.device, int], None]] = {
    "environment": environment,
    "compile": compile_kernels,
    "check": check,
    "losses": losses,
    "profile": profile,
}
"""Stage -> what it runs."""
