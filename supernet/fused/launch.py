"""How the fused kernels are launched: tiles, tables on the device, and a record of launches for who asks.

A record holds each launch's kernel, grid and arguments instead of running it. On meta tensors it costs nothing, and
says what a whole forward and backward pass of any size would launch: what there is to compile, and what it moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PRECISION = "ieee"
"""Of products of float32 tiles: exact rounding rather than the tensor cores' shortened factors."""

BOUNDS = (96, 112, 128, 168, 208, 255)
"""On a thread's registers, where the assembler, left alone, spills a few bytes to fit one more program on a
multiprocessor. Which bound spills nothing differs between its versions, so it is found out."""


@dataclass(frozen=True)
class Launch:
    """One launch: arguments in the kernel's order, constants by name."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    constants: dict[str, Any]


_recorded: ContextVar[list[Launch] | None] = ContextVar("recorded", default=None)


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Collect the launches made inside, instead of running them."""
    launches: list[Launch] = []
    token = _recorded.set(launches)
    try:
        yield launches
    finally:
        _recorded.reset(token)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel on a grid; or note it, inside ``recorded``."""
    launches = _recorded.get()
    if launches is not None:
        launches.append(Launch(kernel, grid, arguments, constants))
    else:
        kernel[grid](*arguments, **constants, **options_of(kernel, _types(arguments), tuple(constants.items())))


@lru_cache(maxsize=4096)
def options_of(kernel: Any, types: tuple[Any, ...], constants: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """How to compile a kernel for arguments of these types: with no more registers than spill nothing."""
    if not isinstance(kernel, triton.runtime.JITFunction):
        return {}  # interpreted

    def used(bound: int | None) -> tuple[int, int]:
        options = dict(constants) | compile_options(bound)
        compiled = kernel.warmup(*map(_pointers, types), grid=(1,), **options)
        compiled._init_handles()  # loads it; only then are these known
        return compiled.n_regs, compiled.n_spills

    return compile_options(without_spills(used))


def without_spills(used: Callable[[int | None], tuple[int, int]]) -> int | None:
    """The first of ``BOUNDS`` under which a kernel spills nothing.

    ``used``: bound -> registers and spills of the kernel compiled under it.
    """
    registers, spills = used(None)
    found = None
    for bound in BOUNDS:
        if not spills:
            break
        if bound > registers:
            found, (_, spills) = bound, used(bound)
    return found


def compile_options(bound: int | None) -> dict[str, Any]:
    """Triton's options for a bound on registers. Products and sums may be contracted, whatever Triton's default is."""
    return {"enable_fp_fusion": True} | ({} if bound is None else {"maxnreg": bound})


@dataclass(frozen=True)
class _Pointer:
    """What stands for a tensor where a kernel is compiled and not run."""

    dtype: torch.dtype

    def data_ptr(self) -> int:
        return 0


def _types(value: Any) -> Any:
    """Arguments, with tensors' types in place of tensors."""
    if isinstance(value, tuple):
        return tuple(map(_types, value))
    return value.dtype if isinstance(value, Tensor) else value


def _pointers(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_pointers, value))
    return _Pointer(value) if isinstance(value, torch.dtype) else value


@dataclass(frozen=True)
class Tile:
    """``m`` pixels by ``k`` channels are worked on at a time; ``n`` is the whole width, up to a power of two."""

    m: int
    k: int
    n: int
    count: int

    def sums(self, storage: torch.dtype) -> tl.dtype:
        """The type of sums for a storage type, as Triton names it."""
        return triton_type(sum_type(storage))


def tile_of(pixels: int, channels: int, values: int = 2048) -> Tile:
    """The tile for images of so many pixels in all. A tile holds so many values, 16 at least of each side."""
    n = max(16, triton.next_power_of_2(channels))
    m = max(16, values // min(n, 128))
    return Tile(m, min(n, 64), n, ceil_div(pixels, m))


def block_of(channels: int) -> int:
    """How many channels a program works on that needs no whole width."""
    return min(64, max(16, triton.next_power_of_2(channels)))


@lru_cache(maxsize=4096)
def on_device(rows: tuple[Any, ...], device: torch.device, dtype: torch.dtype = torch.int32) -> Tensor:
    """Numbers, or rows of them, as a tensor; kept, so that a captured graph finds it there."""
    return torch.tensor(rows, dtype=dtype, device=device)


def ceil_div(length: int, step: int) -> int:
    """How many steps cover a length."""
    return -(-length // step)


def sum_type(storage: torch.dtype) -> torch.dtype:
    """What sums are kept in: float32, or float64 for float64."""
    return torch.float64 if storage == torch.float64 else torch.float32


def triton_type(dtype: torch.dtype) -> tl.dtype:
    """Float32 or float64, as Triton names it."""
    return tl.float64 if dtype == torch.float64 else tl.float32
