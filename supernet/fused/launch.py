"""Launching the fused kernels: tile sizes, small tensors kept on the device, and recording launches instead.

Inside ``recorded`` each launch's kernel, grid and arguments are collected and nothing runs. On meta tensors that costs
nothing and shows what a whole forward and backward pass of any size would launch: which kernels must be compiled, and
what they move and compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch._guards import detect_fake_mode

from supernet.fused.handling import CudaLaunch, current_handler, handled

PRECISION = "ieee"
"""Precision of products of float32 tiles: IEEE rounding instead of the tensor cores' TF32."""

SPLIT_PRECISION = "tf32x3"
"""Precision of large products of float32 tiles: each factor as a sum of two TF32 numbers, on the tensor cores."""

PROGRAMS = 1024
"""Programs that keep a large GPU busy: eight for each of its multiprocessors."""

WARPS = 4
"""Warps of a program, where a launch does not say."""

REGISTERS = 65_536
"""Registers of a multiprocessor."""

BOUNDS = (96, 112, 128, 168, 208, 255)
"""Bounds on a thread's registers to try where ptxas by itself spills a few bytes to fit one more program on a
multiprocessor. Which bound avoids spills differs between its versions, so it is determined by compiling."""


@dataclass(frozen=True)
class Launch:
    """One launch of Triton: arguments in the kernel's order, compile-time constants by name, warps of a program."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    constants: dict[str, Any]
    warps: int


def kernel_of(launch: Launch | CudaLaunch) -> str:
    """Return the name of a launch's kernel."""
    return launch.name if isinstance(launch, CudaLaunch) else launch.kernel.__name__


@contextmanager
def recorded(shared_bytes: int = 0) -> Iterator[list[Any]]:
    """Collect the launches made inside, instead of running them; see ``supernet.fused.handling``."""
    launches: list[Any] = []
    with handled(launches.append, shared_bytes):
        yield launches


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, warps: int = WARPS, **constants: Any) -> None:
    """Run a kernel on a grid; inside ``handled``, only hand the launch over."""
    handler = current_handler()
    if handler is not None:
        handler.take(Launch(kernel, grid, arguments, constants, warps))
    else:
        options = options_of(kernel, argument_types(arguments), tuple(constants.items()), warps)
        kernel[grid](*arguments, **constants, **options)


@lru_cache(maxsize=4096)
def options_of(
    kernel: Any, types: tuple[Any, ...], constants: tuple[tuple[str, Any], ...], warps: int = WARPS
) -> dict[str, Any]:
    """Return the options that compile a kernel for arguments of these types without register spills."""
    if not isinstance(kernel, triton.runtime.JITFunction):
        return {}  # interpreted

    def used(bound: int | None) -> tuple[int, int]:
        options = dict(constants) | compile_options(bound, warps)
        compiled = kernel.warmup(*map(_pointers, types), grid=(1,), **options)
        compiled._init_handles()  # loads the kernel; only then are its registers and spills known
        return compiled.n_regs, compiled.n_spills

    return compile_options(without_spills(used, warps), warps)


def without_spills(used: Callable[[int | None], tuple[int, int]], warps: int = WARPS) -> int | None:
    """Return a bound under which a kernel spills nothing; ``None`` where it needs no bound.

    A program that would fill more than half of a multiprocessor gets the bound under which two fit, if that spills
    nothing; else it is the first of ``BOUNDS``, where it needs one.

    Args:
        used: bound -> registers and spills of the kernel compiled under it.
        warps: of a program.
    """
    registers, spills = used(None)
    found = None
    two = REGISTERS // (2 * warps * 32)
    if registers > two and not used(two)[1]:
        return two
    for bound in BOUNDS:
        if not spills:
            break
        if bound > registers:
            found, (_, spills) = bound, used(bound)
    return found


def compile_options(bound: int | None, warps: int = WARPS) -> dict[str, Any]:
    """Return Triton's options for a bound on registers and a number of warps.

    Products and sums may be contracted to fused multiply-adds.
    """
    return {"enable_fp_fusion": True, "num_warps": warps} | ({} if bound is None else {"maxnreg": bound})


@dataclass(frozen=True)
class _Pointer:
    """A stand-in for a tensor where a kernel is compiled and not run."""

    dtype: torch.dtype

    def data_ptr(self) -> int:
        return 0


def argument_types(value: Any) -> Any:
    """Return arguments with each tensor replaced by its type."""
    if isinstance(value, tuple):
        return tuple(map(argument_types, value))
    return value.dtype if isinstance(value, Tensor) else value


def _pointers(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_pointers, value))
    return _Pointer(value) if isinstance(value, torch.dtype) else value


@dataclass(frozen=True)
class Tile:
    """The block of a plane that a program works on at a time.

    Attributes:
        m, k: number of pixels and of channels, powers of two.
        n: number of all channels, rounded up to a power of two.
        count: number of tiles that cover all pixels.
    """

    m: int
    k: int
    n: int
    count: int

    def sums(self, storage: torch.dtype) -> tl.dtype:
        """Return the type of sums for a storage type, as Triton names it."""
        return triton_type(sum_type(storage))


def aligned(channels: int) -> int:
    """Return a number of channels as the tensor cores take it: a power of two, at least 16."""
    return max(16, triton.next_power_of_2(channels))


def tile_of(pixels: int, channels: int, values: int = 2048) -> Tile:
    """Return the tile for a batch of ``pixels`` pixels; it holds about ``values`` values, at least 16 of each side."""
    n = aligned(channels)
    m = max(16, values // min(n, 128))
    return Tile(m, min(n, 64), n, ceil_div(pixels, m))


def many_tiles_of(pixels: int, channels: int) -> Tile:
    """Return the tile for kernels whose programs each go through many planes: small enough for ``PROGRAMS`` of them."""
    return tile_of(pixels, channels, max(512, min(2048, triton.next_power_of_2(pixels * channels) // PROGRAMS)))


def block_of(channels: int) -> int:
    """Return the number of channels that a program works on at a time where it does not need all of them."""
    return min(64, aligned(channels))


def blocks_of(channels: int) -> int:
    """Return the number of blocks of ``block_of(channels)`` channels, as those of a ``Tile`` are, that cover all."""
    return ceil_div(channels, block_of(channels))


@lru_cache(maxsize=4096)
def on_device(rows: tuple[Any, ...], device: torch.device, dtype: torch.dtype = torch.int32) -> Tensor:
    """Return numbers, or rows of them, as a tensor; kept, so that a captured CUDA graph finds it at its address."""
    return torch.tensor(rows, dtype=dtype, device=device)


def table_on(rows: tuple[Any, ...], device: torch.device) -> Tensor:
    """Return rows of integers as a table on the device; that of a recorded launch lies where it can be read."""
    return on_device(rows, torch.device("cpu") if device.type == "meta" else device)


def zero_counters(device: torch.device, number: int) -> Tensor:
    """Return zeros, ``(number,)``, int32, which kernels count in and leave at zero.

    They are kept, as those of ``on_device`` are, and are the same for the same number: launches that may run at once
    each need a range of their own.
    """
    if detect_fake_mode() is not None:
        return torch.zeros(number, dtype=torch.int32, device=device)
    return _kept_zeros(device, number)


@cache
def _kept_zeros(device: torch.device, number: int) -> Tensor:
    return torch.zeros(number, dtype=torch.int32, device=device)


def ceil_div(length: int, step: int) -> int:
    """Return ``length / step``, rounded up."""
    return -(-length // step)


def sum_type(storage: torch.dtype) -> torch.dtype:
    """Return the type of sums for a storage type: float32, or float64 for float64."""
    return torch.float64 if storage == torch.float64 else torch.float32


def triton_type(dtype: torch.dtype) -> tl.dtype:
    """Return Triton's name of float32 or float64."""
    return tl.float64 if dtype == torch.float64 else tl.float32
