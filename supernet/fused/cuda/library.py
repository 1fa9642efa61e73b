"""CUDA kernels compiled by NVRTC, which comes with PyTorch, and launched through the driver.

A kernel is compiled when it is launched first, for the GPU that is there, and kept in a cache on the disk.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genotypes.atomic_write import write_atomically
from supernet.fused.cpu.library import NoFunctions, cache_folder
from supernet.fused.handling import CudaLaunch, current_handler

SOURCES = Path(__file__).parent
BUILT_ON = {
    "convs.cuh": ("shape.cuh", "tiles.cuh", "products.cuh"),
    "half_gradient.cuh": ("shape.cuh", "tiles.cuh", "products.cuh"),
    "state_gradient.cuh": ("shape.cuh", "tiles.cuh", "products.cuh"),
    "weight_gradients.cuh": ("shape.cuh", "tiles.cuh"),
    "shared.cuh": ("shape.cuh",),
    "nodes.cuh": ("terms.cuh", "pooled.cuh"),
    "node_sums.cuh": ("terms.cuh", "pooled.cuh"),
}
"""Source -> those that stand before it, after ``common.cuh``."""

_STATIC_SHARED, _MAX_DYNAMIC_SHARED = 1, 8
"""CUDA's numbers of a kernel's attributes: the bytes of shared memory that it declares, and the most that a launch may
ask for beside these."""

DECLARED = 128
"""Bytes of shared memory that kernels which ask for more at a launch may declare."""


class CudaError(RuntimeError):
    """NVRTC or the driver refuses what it was asked for."""


@cache
def _nvrtc() -> ctypes.CDLL | None:
    """Return NVRTC of the CUDA version that PyTorch was built for, or ``None``."""
    if torch.version.cuda is None:
        return None
    name = f"libnvrtc.so.{torch.version.cuda.split('.')[0]}"
    beside = sorted((Path(torch.__file__).parent.parent / "nvidia").glob(f"*/lib/{name}"))
    for path in [*map(str, beside), name]:
        with suppress(OSError):
            return ctypes.CDLL(path)
    return None


def can_compile() -> bool:
    """Return whether NVRTC is installed."""
    return _nvrtc() is not None


def shared_bytes(device: torch.device) -> int:
    """Return the bytes of shared memory that a launch may ask for; 0 where the kernels cannot run."""
    handler = current_handler()
    return max(0, (_shared_bytes(device) if handler is None else handler.shared_bytes) - DECLARED)


@cache
def _shared_bytes(device: torch.device) -> int:
    """Return the bytes of shared memory that a block may have, declared by its kernel or asked for at a launch."""
    if device.type != "cuda" or torch.version.hip or torch.cuda.get_device_capability(device) < (8, 0):
        return 0
    properties = torch.cuda.get_device_properties(device)
    return 0 if _nvrtc() is None else getattr(properties, "shared_memory_per_block_optin", 48 * 1024)


def compiled(file: str, definitions: Sequence[tuple[str, int]], target: str) -> bytes:
    """Return a source of this folder compiled: a cubin for a target like ``sm_90``, PTX for one like ``compute_90``.

    Args:
        definitions: names and values of its macros.

    Raises:
        CudaError: with the compiler's first complaint.
    """
    nvrtc = _nvrtc()
    if nvrtc is None:
        raise CudaError("NVRTC is not installed")
    source = b"\n".join(_parts(file))
    options = [f"--gpu-architecture={target}", "--std=c++17", *(f"-D{name}={value}" for name, value in definitions)]
    program = ctypes.c_void_p()
    _require(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, file.encode(), 0, None, None), "NVRTC")
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    if nvrtc.nvrtcCompileProgram(program, len(options), given):
        raise CudaError(f"NVRTC cannot compile {file}: {_text(nvrtc, program, 'ProgramLog').decode()[:1000]}")
    found = _text(nvrtc, program, "CUBIN" if target.startswith("sm_") else "PTX")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return found


@cache
def parameters_of(name: str, file: str) -> tuple[str, ...]:
    """Return the names of a kernel's parameters, from its source."""
    declared = (SOURCES / file).read_text().split(f" {name}(", 1)[1].split(") {", 1)[0]
    return tuple(re.findall(r"\w+(?=,|$)", declared))


def _parts(file: str) -> list[bytes]:
    """Return a source, and those that it builds on before it."""
    return [(SOURCES / name).read_bytes() for name in ("common.cuh", *BUILT_ON.get(file, ()), file)]


def _text(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _require(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), "NVRTC")
    text = ctypes.create_string_buffer(size.value)
    _require(getattr(nvrtc, f"nvrtcGet{what}")(program, text), "NVRTC")
    return text.raw


def _kept(file: str, definitions: tuple[tuple[str, int], ...], target: str) -> bytes:
    """Return a compiled source from the cache; compile it where it is not there."""
    parts = _parts(file)
    parts.append(repr((definitions, target, torch.version.cuda)).encode())
    name = f"{Path(file).stem}-{hashlib.sha256(bytes(0).join(parts)).hexdigest()[:20]}.cubin"
    with suppress(OSError, NoFunctions):
        return (cache_folder() / name).read_bytes()
    found = compiled(file, definitions, target)
    with suppress(OSError, NoFunctions):
        write_atomically(cache_folder() / name, found)
    return found


@cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


@cache
def kernel(name: str, file: str, definitions: tuple[tuple[str, int], ...], device: int) -> ctypes.c_void_p:
    """Return a kernel of a source, loaded on a device."""
    major, minor = torch.cuda.get_device_capability(device)
    binary, module, found = _kept(file, definitions, f"sm_{major}{minor}"), ctypes.c_void_p(), ctypes.c_void_p()
    _require(_driver().cuModuleLoadData(ctypes.byref(module), binary), name)
    _require(_driver().cuModuleGetFunction(ctypes.byref(found), module, name.encode()), name)
    declared = ctypes.c_int()
    _require(_driver().cuFuncGetAttribute(ctypes.byref(declared), _STATIC_SHARED, found), name)
    most = _shared_bytes(torch.device("cuda", device)) - declared.value  # both together must not be more
    _require(_driver().cuFuncSetAttribute(found, _MAX_DYNAMIC_SHARED, most), name)
    return found


def launch(given: CudaLaunch, device: torch.device) -> None:
    """Run a kernel on the current stream; inside ``supernet.fused.handling.handled``, only hand the launch over."""
    handler = current_handler()
    if handler is not None:
        handler.take(given)
        return
    with torch.cuda.device(device):
        found = kernel(given.name, given.file, given.definitions, torch.cuda.current_device())
        stream = torch.cuda.current_stream(device).cuda_stream
        values = [value_of(argument) for argument in given.arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        size = *given.grid, given.threads, 1, 1, given.shared
        _require(_driver().cuLaunchKernel(found, *size, ctypes.c_void_p(stream), pointers, None), given.name)


def value_of(argument: Any) -> Any:
    """Return an argument as the driver takes it: for a tensor its address."""
    if argument is None or isinstance(argument, Tensor):
        return ctypes.c_void_p(None if argument is None else argument.data_ptr())
    return argument


def _require(error: int, what: str) -> None:
    if error:
        raise CudaError(f"{what}: CUDA error {error}")
