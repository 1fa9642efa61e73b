"""What a benchmark needs to know of the machine: device, versions, commit, and measured rates."""

import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from supernet.mixed.backends import BACKENDS

PACKAGES = ("torch", "torchvision", "numpy")
"""Those whose versions may change a run's numbers."""


def machine(device: torch.device) -> dict[str, Any]:
    """What runs: processor or card, threads, versions, and the commit of this code where it is a checkout."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout
    except OSError:
        told = ""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    if device.type == "cuda":
        versions["cuda"] = torch.version.cuda
    return {"device": card, "threads": torch.get_num_threads(), **versions, "commit": told.strip() or None}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def backends_on(device: torch.device) -> tuple[str, ...]:
    """The backends that a device can run."""
    kernels = device.type == "cuda" and find_spec("triton") is not None
    return tuple(name for name, row in BACKENDS.items() if kernels or row.whole_graph is None)


def copy_rate(device: torch.device) -> float:
    """Bytes read and written a second."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**25, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(seconds_of(lambda: target.copy_(source), device) for _ in range(5))


def product_rate(device: torch.device) -> float:
    """Floating point operations a second, of 32-bit matrices."""
    side = 8192 if device.type == "cuda" else 1024
    matrix = torch.ones(side, side, device=device)
    return 2 * side**3 / min(seconds_of(lambda: matrix @ matrix, device) for _ in range(5))


def seconds_of(step: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
