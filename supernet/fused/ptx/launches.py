"""Launches of the fused kernels, of Triton and of CUDA, run by the interpreter on tensors of the CPU.

    with interpreted(watch=True) as executed:
        nodes = graph(states, gates)  # of the ``fused`` backend

What runs is compiled code: PTX for compute capability 8.0, by Triton's compiler and by NVRTC, on no GPU.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from supernet.fused import resources
from supernet.fused.cuda import library
from supernet.fused.handling import CudaLaunch, handled
from supernet.fused.launch import Launch
from supernet.fused.ptx.lanes import Index, granule_of
from supernet.fused.ptx.machine import Machine
from supernet.fused.ptx.memory import GlobalMemory
from supernet.fused.ptx.program import Program, PtxError, parse

LANES = 8192
"""Lanes that run together at most: their registers then fit the processor's cache."""

AnyLaunch = Launch | CudaLaunch

_kept: dict[Any, tuple[Program, int]] = {}


@dataclass(frozen=True)
class Executed:
    """A launch that was interpreted, or some blocks of it.

    Attributes:
        blocks: that ran.
        counts: how many warps of each ran every basic block of the program, ``(basic block, block)``.
    """

    launch: AnyLaunch
    program: Program
    blocks: tuple[Index, ...]
    counts: NDArray[np.int64]

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return self.program.name.strip("_")

    @property
    def instructions(self) -> int:
        """Executed instructions of warps; one whose guard is false is executed too."""
        return int(sum(len(b.instructions) * int(n) for b, n in zip(self.program.blocks, self.counts.sum(1))))

    def by_class(self) -> dict[str, int]:
        """Return the first word of each opcode -> executed instructions of warps."""
        found: dict[str, int] = {}
        for block, count in zip(self.program.blocks, self.counts.sum(1)):
            for instruction in block.instructions:
                word = instruction.opcode.split(".")[0]
                found[word] = found.get(word, 0) + int(count)
        return found


@contextmanager
def interpreted(*, watch: bool = False, shared_bytes: int = resources.SHARED_BYTES[80]) -> Iterator[list[Executed]]:
    """Interpret the launches made inside; the list gets what was executed.

    Args:
        watch: whether races are looked for, which doubles the time.
        shared_bytes: of a block of the GPU in question; with 0 Triton's kernels compute the convolutions.

    Raises:
        PtxError: where a kernel touches what it must not, or, watched, does so in a race.
    """
    executed: list[Executed] = []
    with handled(lambda launch: executed.append(run(launch, watch=watch)), shared_bytes):
        yield executed


def run(
    launch: AnyLaunch,
    *,
    watch: bool = False,
    blocks: Sequence[Index] | None = None,
    count: bool = False,
    arch: int = 80,
) -> Executed:
    """Run a launch, or some of its blocks.

    Args:
        arch: compute capability that it is compiled for.
        count: whether only those instructions run that decide which ones do; memory is then not written.

    Raises:
        PtxError: as ``interpreted`` does.
    """
    program, shared = _program(launch, arch)
    grid, threads = _whole(launch.grid), launch.warps * 32 if isinstance(launch, Launch) else launch.threads
    every = tuple(blocks or ((x, y, z) for z, y, x in itertools.product(*map(range, reversed(grid)))))
    parameters = _parameters(launch, program)
    ranges, anywhere = _ranges(launch.arguments)
    memory = GlobalMemory(ranges, anywhere=anywhere, watch=watch, granule=granule_of(program, "global"))
    only, memory.counters = (program.control(), {}) if count else (None, None)
    most = max(1, LANES // threads)
    counts = []
    for part in range(0, len(every), most):
        own = every[part : part + most]
        machine = Machine(program, own, grid, threads, parameters, memory, shared, watch=watch)
        machine.only = only
        machine.run()
        counts.append(machine.counts)
    return Executed(launch, program, every, np.concatenate(counts, 1))


def _whole(grid: Sequence[int]) -> Index:
    x, y, z = (*grid, 1, 1)[:3]
    return x, y, z


def _program(launch: AnyLaunch, arch: int) -> tuple[Program, int]:
    """Return a launch's program and the bytes of its shared memory; compiled once."""
    if isinstance(launch, Launch):
        key = launch.kernel, resources.specialization(launch), launch.warps, arch
        if key not in _kept:
            found = resources.compiled(launch, arch, None)
            _kept[key] = parse(found.asm["ptx"]), found.metadata.shared
        return _kept[key]
    program = _cuda_program(launch.name, launch.file, launch.definitions, arch)
    return program, program.static_shared + launch.shared


@lru_cache(maxsize=256)
def _cuda_program(name: str, file: str, definitions: tuple[tuple[str, int], ...], arch: int) -> Program:
    return parse(library.compiled(file, definitions, f"compute_{arch}").rstrip(b"\0").decode(), name)


def _parameters(launch: AnyLaunch, program: Program) -> bytes:
    """Return the bytes of a kernel's parameters; those beyond the launch's own, which Triton adds, are null."""
    space = bytearray(program.parameter_bytes)
    values = [*_flat(launch.arguments)] if isinstance(launch, Launch) else [*map(library.value_of, launch.arguments)]
    if len(values) > len(program.parameters):
        raise PtxError(f"{program.name} has {len(program.parameters)} parameters, not {len(values)}")
    for (offset, size), value in zip(program.parameters.values(), values):
        own = bytes(value)
        if len(own) != size:
            raise PtxError(f"{program.name}: a parameter of {size} bytes gets {len(own)}")
        space[offset : offset + size] = own
    return bytes(space)


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    """Yield the arguments that a kernel of Triton keeps: an integer that is 1 becomes a constant."""
    for value in arguments:
        if isinstance(value, tuple):
            yield from _flat(value)
        elif isinstance(value, Tensor):
            yield ctypes.c_void_p(value.data_ptr())
        elif isinstance(value, float):
            yield ctypes.c_float(value)
        elif value != 1:
            yield ctypes.c_int(value)


def _ranges(arguments: Iterable[Any]) -> tuple[list[tuple[int, int]], bool]:
    """Return begin and end of the storage of each tensor of a launch, and whether one holds addresses itself."""
    found: list[tuple[int, int]] = []
    anywhere = False
    for value in arguments:
        if isinstance(value, tuple):
            ranges, more = _ranges(value)
            found, anywhere = found + ranges, anywhere or more
        elif isinstance(value, Tensor):
            if value.device.type != "cpu":
                raise PtxError(f"a tensor is on {value.device}; launches are interpreted on the CPU's memory")
            storage = value.untyped_storage()
            found.append((storage.data_ptr(), storage.data_ptr() + storage.nbytes()))
            anywhere |= value.dtype == torch.int64
        elif isinstance(value, ctypes.Structure):
            ranges, more = _ranges(getattr(value, "tensors", ()))
            found, anywhere = found + ranges, anywhere or more
    return found, anywhere
