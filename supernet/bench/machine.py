"""The machine that a benchmark runs on: device, versions, commit, and measured rates."""

import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import torch

from supernet.fused.availability import unavailable
from supernet.mixed.backends import BACKENDS, Backend

PACKAGES = ("torch", "torchvision", "numpy")
"""Packages whose versions may change a run's numbers."""


def machine(device: torch.device) -> dict[str, Any]:
    """Return processor or GPU, threads, versions, and the commit of this code where it is a checkout."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    if device.type == "cuda":
        versions["cuda"] = torch.version.cuda or ""
    return {"device": name, "threads": torch.get_num_threads(), **versions, "commit": _commit()}


def _commit() -> str | None:
    """Return the commit of this file; None where it is not in a checkout, as after an installation."""
    here = Path(__file__)
    found = ""
    for command in (["git", "ls-files", "--error-unmatch", here.name], ["git", "describe", "--always", "--dirty"]):
        try:
            done = subprocess.run(command, cwd=here.parent, capture_output=True, text=True, check=False)
        except OSError:
            return None
        if done.returncode:
            return None
        found = done.stdout
    return found.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def backends_on(device: torch.device) -> tuple[Backend, ...]:
    """Return the backends that a device can run, ``reference`` first."""
    kernels = unavailable(device) is None
    return tuple(name for name in get_args(Backend) if kernels or BACKENDS[name].whole_graph is None)


def copy_rate(device: torch.device) -> float:
    """Measure the bytes read and written per second by a copy."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**25, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(seconds_of(lambda: target.copy_(source), device) for _ in range(5))


def product_rate(device: torch.device) -> float:
    """Measure the floating point operations per second of a product of 32-bit matrices."""
    side = 8192 if device.type == "cuda" else 1024
    matrix = torch.ones(side, side, device=device)
    return 2 * side**3 / min(seconds_of(lambda: matrix @ matrix, device) for _ in range(5))


def seconds_of(step: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a step takes, until the device has finished it."""
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
