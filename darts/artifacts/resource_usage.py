"""The resources that a run uses: memory and energy, of the GPU where it runs on one."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import torch


def usage() -> dict[str, float]:
    """Return figures since the process began, for the log.

    Returns:
        ``peak_memory_mib``: of the GPU that this process uses most, as PyTorch allocates; without a GPU, of the whole
        process. ``energy_j``: what that GPU has used since its driver was loaded, by all processes; missing where the
        driver does not report it.
    """
    if not torch.cuda.is_initialized():
        peak = peak_process_bytes()
        return {"peak_memory_mib": round(peak / 2**20, 1)} if peak else {}
    peaks = [torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count())]
    index = max(range(len(peaks)), key=peaks.__getitem__)
    energy = _energy(str(torch.cuda.get_device_properties(index).uuid))
    return {"peak_memory_mib": round(peaks[index] / 2**20, 1), **({} if energy is None else {"energy_j": energy})}


def peak_process_bytes() -> int:
    """Return the largest resident size that this process has had so far, in bytes; 0 where it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _energy(uuid: str) -> float | None:
    """Return joules, from the driver's management library (NVML); from Volta on."""
    name = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        library: Any = ctypes.CDLL(name)
    except OSError:
        return None
    if not hasattr(library, "nvmlDeviceGetTotalEnergyConsumption"):
        return None
    card, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    asked = f"GPU-{uuid.removeprefix('GPU-')}".encode()
    failed = (
        library.nvmlInit_v2()
        or library.nvmlDeviceGetHandleByUUID(asked, ctypes.byref(card))
        or library.nvmlDeviceGetTotalEnergyConsumption(card, ctypes.byref(millijoules))
    )
    return None if failed else millijoules.value / 1000
