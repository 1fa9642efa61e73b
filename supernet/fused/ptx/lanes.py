"""The lanes of an interpreted launch: a thread of some blocks each, with its registers and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernet.fused.ptx.formats import REGISTERS
from supernet.fused.ptx.memory import GlobalMemory, SharedMemory
from supernet.fused.ptx.program import Program, PtxError

Index = tuple[int, int, int]
Mask = NDArray[np.bool_] | None
"""The lanes that run an instruction; ``None`` for all."""


class Lanes:
    """The threads of some blocks.

    Args:
        program: the kernel.
        blocks: their indices in the grid.
        grid: numbers of blocks.
        threads: of a block.
        parameters: bytes of all parameters.
        shared: bytes of shared memory of a block.
        watch: whether races are looked for.

    Attributes:
        lanes: how many.
        registers: of each an array with a value for every lane.
        lane, first_lane: of every lane its number in its warp, and the first of its warp.
        block: of every lane the number of its block in the grid.
    """

    def __init__(
        self,
        program: Program,
        blocks: Sequence[Index],
        grid: Index,
        threads: int,
        parameters: bytes,
        memory: GlobalMemory,
        shared: int,
        *,
        watch: bool = False,
    ):
        if threads % 32:
            raise PtxError(f"{threads} threads are no whole warps")
        self.program, self.threads = program, threads
        self.lanes, self.memory = len(blocks) * threads, memory
        self.parameters = np.frombuffer(parameters, np.uint8)
        self.lane = np.arange(self.lanes) % 32
        self.first_lane = np.arange(self.lanes) - self.lane
        self.everyone = np.arange(self.lanes)
        self.special = self._special(blocks, grid)
        at = np.array(blocks, np.int64)
        self.block = np.repeat((at[:, 2] * grid[1] + at[:, 1]) * grid[0] + at[:, 0], threads)
        self.shared = SharedMemory(len(blocks), shared, threads, watch=watch, granule=granule_of(program, "shared"))
        empty = {bits: np.zeros(self.lanes, kind) for bits, kind in REGISTERS.items()}
        self.registers: list[NDArray[Any]] = [empty[bits] for bits in program.bits]

    def _special(self, blocks: Sequence[Index], grid: Index) -> dict[str, NDArray[Any]]:
        threads = self.threads
        found: dict[str, NDArray[Any]] = {
            "%tid.x": np.arange(self.lanes, dtype=np.uint32) % np.uint32(threads),
            "%laneid": self.lane.astype(np.uint32),
        }
        for axis, letter in enumerate("xyz"):
            found[f"%ctaid.{letter}"] = np.repeat(np.array([block[axis] for block in blocks], np.uint32), threads)
            found[f"%nctaid.{letter}"] = np.full(self.lanes, grid[axis], np.uint32)
            found[f"%ntid.{letter}"] = np.full(self.lanes, threads if axis == 0 else 1, np.uint32)
            found.setdefault(f"%tid.{letter}", np.zeros(self.lanes, np.uint32))
        return found

    def active(self, mask: Mask) -> NDArray[np.int64]:
        """Return the numbers of the lanes of a mask."""
        return self.everyone if mask is None else np.flatnonzero(mask)

    def spread(self, values: NDArray[Any], lanes: NDArray[np.int64], mask: Mask) -> NDArray[Any]:
        """Return values of some lanes as an array with a place for every lane."""
        if mask is None:
            return values
        found = np.zeros(self.lanes, values.dtype)
        found[lanes] = values
        return found


def granule_of(program: Program, space: str) -> int:
    """Return the bytes of a program's smallest access to a space, at most 4."""
    least = 4
    for block in program.blocks:
        for instruction in block.instructions:
            words = instruction.opcode.replace("::", ".").split(".")
            if space in words and words[0] in ("ld", "st"):
                least = min(least, int(words[-1].lstrip("busf")) // 8)
    return least
