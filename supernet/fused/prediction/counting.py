"""Executed instructions of a launch, counted by the interpreter on some of its blocks.

Which instructions run depends on tables, gates and sizes alone, so only those instructions are interpreted that decide
it, on the launch's own tables. Blocks differ by their indices: of an axis of the grid with up to ``ALL`` indices all
are taken, of a longer one ``SOME``, evenly, each for those next to it.
"""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from supernet.fused.handling import CudaLaunch
from supernet.fused.launch import Launch
from supernet.fused.prediction.loops import nest
from supernet.fused.prediction.machine_code import MachineCode, disassembled, executed
from supernet.fused.ptx.lanes import Index
from supernet.fused.ptx.launches import AnyLaunch, run
from supernet.fused.resources import Usage, machine_code, name_of, specialization

ALL, SOME, MOST = 20, 5, 400
"""Indices of an axis up to which all are taken, how many of a longer one, and blocks in all."""


@dataclass(frozen=True)
class Count:
    """Executed instructions of warps of a launch.

    Attributes:
        ptx, machine: of PTX and of machine code; ``matched`` says whether loop by loop.
        threads: of a block.
        sampled: number of the blocks that were interpreted.
    """

    ptx: float
    machine: float
    matched: bool
    threads: int
    sampled: int
    usage: Usage


def count(launch: AnyLaunch, arch: int) -> Count:
    """Count a launch for ``sm_<arch>``; its tables and gates are on the CPU."""
    grid = tuple([*launch.grid, 1, 1][:3])
    blocks, weights = sample(grid)
    found = run(launch, blocks=blocks, count=True, arch=arch)
    counts = (found.counts * weights).sum(1)
    code, usage = _code(Key(launch), arch)
    sizes = [len(block.instructions) for block in found.program.blocks]
    loops = nest([block.successors for block in found.program.blocks])
    ptx = float((counts * sizes).sum())
    instructions, matched = executed(code, loops, sizes, counts.tolist())
    threads = launch.warps * 32 if isinstance(launch, Launch) else launch.threads
    return Count(ptx, instructions, matched, threads, len(blocks), usage)


class Key:
    """A launch that equals those of the same kernel and specialization."""

    def __init__(self, launch: AnyLaunch):
        self.launch = launch
        self.text = f"{name_of(launch)} {specialization(launch)} {getattr(launch, 'warps', 0)}"
        if isinstance(launch, CudaLaunch):
            self.text += f" {launch.shared}"

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.text == other.text


@lru_cache(maxsize=1024)
def _code(key: Key, arch: int) -> tuple[MachineCode, Usage]:
    cubin, usage = machine_code(key.launch, arch)
    return disassembled(cubin, name_of(key.launch)), usage


def same_work(launch: AnyLaunch) -> tuple[object, ...]:
    """Return what launches that execute the same have in common: the kernel, sizes and tables."""

    def described(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(described, value))
        if isinstance(value, Tensor):
            return value.data_ptr() if not value.dtype.is_floating_point else (value.dtype, tuple(value.shape))
        if isinstance(value, ctypes.Structure):
            return None if hasattr(value, "tensors") else bytes(value)
        return getattr(value, "value", value)

    return Key(launch).text, tuple(launch.grid), *map(described, (a for a in launch.arguments if a is not None))


def sample(grid: Sequence[int]) -> tuple[list[Index], np.ndarray]:
    """Return some blocks of a grid, and for how many each stands."""
    most = [length if length <= ALL else SOME for length in grid]
    while math.prod(most) > MOST:
        longest = most.index(max(most))
        most[longest] = max(SOME, most[longest] // 2)
    axes = [_some(length, number) for length, number in zip(grid, most)]
    blocks = [(x, y, z) for (z, _), (y, _), (x, _) in itertools.product(*reversed(axes))]
    weights = [a * b * c for (_, c), (_, b), (_, a) in itertools.product(*reversed(axes))]
    return blocks, np.array(weights, np.int64)


def _some(length: int, number: int) -> list[tuple[int, int]]:
    """Return ``number`` of an axis's indices, each amid those that it stands for, and how many these are."""
    edges = [length * part // number for part in range(number + 1)]
    return [((begin + end) // 2, end - begin) for begin, end in itertools.pairwise(edges)]
