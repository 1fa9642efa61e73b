"""Memory of an interpreted kernel: tensors at their own addresses, shared memory of each block, and watching both.

Shared memory is watched for two warps of a block that touch the same bytes between two barriers, one of them writing
(unless both write the same value, as compilers let warps do that computed it twice), and for what is read before an
asynchronous copy has been waited for; global memory for two blocks of one launch that touch the same bytes, one of them
writing.

Axis: lanes, the threads of all blocks.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from supernet.fused.ptx.program import PtxError

Numbers = NDArray[np.int64]

ITEMS: dict[int, type[np.generic]] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}
"""Bytes of an access -> a type of so many bytes, of which whole items are copied."""

PAGE, TOP = 4096, 2**47 - 4096


RACE = "two warps touch the same bytes of shared memory with no barrier in between, and one of them writes"


def _differ(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which items differ in their bits."""
    return (a.view(np.uint8) != b.view(np.uint8)).reshape(len(a), -1).any(1)


class Marks:
    """Who touched each granule of memory last: writers and readers, by numbers that differ where a race is possible.

    Args:
        granules: how many.
    """

    def __init__(self, granules: int):
        self.writer, self.reader = np.zeros(granules, np.int64), np.zeros(granules, np.int64)
        self.several = np.zeros(granules, np.int64)

    def read(self, at: Numbers, who: Numbers, since: Numbers) -> NDArray[np.bool_]:
        """Mark granules as read; return which reads race with a write.

        Args:
            who: number of each access, at least ``since`` and greater than all before that cannot race with it.
            since: the least number that may race with it.
        """
        before, read = self.writer[at], self.reader[at]
        self.reader[at] = who
        more = ((read >= since) & (read != who)) | (self.reader[at] != who)
        self.several[at[more]] = who[more]
        return (before >= since) & (before != who)

    def write(
        self, at: Numbers, who: Numbers, since: Numbers, changed: NDArray[np.bool_], lost: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Mark granules as written; return which writes race with an access before or at the same time.

        Args:
            changed: whether a write changes what was there.
            lost: whether another write at the same time prevailed over it.
            who, since: as in ``read``.
        """
        before, read = self.writer[at], self.reader[at]
        races = (before >= since) & (before != who) & changed
        races |= (read >= since) & ((read != who) | (self.several[at] >= since))
        self.writer[at] = who
        return races | lost & (self.writer[at] != who)


class GlobalMemory:
    """The memory of this process, of which a launch may touch the ranges of its tensors.

    Args:
        ranges: begin and end of each tensor's storage.
        anywhere: whether addresses are also read from memory, so that whatever this process has mapped may be touched;
            races are not looked for there.
        watch: whether races between blocks are looked for.
        granule: bytes of the smallest access.

    Attributes:
        counters: address -> what atomic additions have made of it, where nothing may be written; else ``None``.
    """

    def __init__(self, ranges: Sequence[tuple[int, int]], *, anywhere: bool, watch: bool, granule: int):
        self.counters: dict[int, int] | None = None
        self.begins, self.ends = _sorted(ranges)
        self.mapped = _sorted(_mapped()) if anywhere else None
        self.granule = granule
        self.marks: dict[int, Marks] | None = {} if watch else None

    def check(self, at: Numbers, size: int, block: Numbers | None, write: bool) -> None:
        """Look at addresses before they are used.

        Args:
            block: number of the block of each access; ``None`` for accesses that cannot race.

        Raises:
            PtxError: where one is misaligned or outside of all tensors, or races with another block's.
        """
        if (at & (size - 1)).any():
            raise PtxError(f"an address is no multiple of {size}")
        low, high = int(at.min()), int(at.max()) + size
        home = int(np.searchsorted(self.begins, low, "right")) - 1
        if home >= 0 and high <= self.ends[home]:
            homes = np.full(len(at), home) if self.marks is not None and block is not None else None
        else:
            homes = _homes(self.begins, self.ends, at, size)
            outside = at[homes < 0]
            if len(outside) and (self.mapped is None or (_homes(*self.mapped, outside, size) < 0).any()):
                raise PtxError(f"address {int(outside[0]):#x} is outside of all tensors")
        if self.marks is None or homes is None or block is None:
            return
        for number in np.unique(homes[homes >= 0]):
            if number not in self.marks:
                self.marks[number] = Marks(-(-int(self.ends[number] - self.begins[number]) // self.granule) + 16)
            own = homes == number
            first = (at[own] - self.begins[number]) // self.granule
            for step in range(max(1, size // self.granule)):
                who = block[own] + 1
                always = np.ones(len(who), bool)
                given = first + step, who, np.ones_like(who)
                marks = self.marks[number]
                if (marks.write(*given, always, always) if write else marks.read(*given)).any():
                    raise PtxError("two blocks touch the same bytes of global memory, and one of them writes")

    def read(self, at: Numbers, size: int) -> NDArray[np.generic]:
        """Return the items at addresses."""
        return _memory(size)[at - PAGE >> size.bit_length() - 1]

    def write(self, at: Numbers, size: int, items: NDArray[np.generic]) -> None:
        """Write items to addresses."""
        _memory(size)[at - PAGE >> size.bit_length() - 1] = items


def _sorted(ranges: Sequence[tuple[int, int]]) -> tuple[Numbers, Numbers]:
    """Return begins and ends of ranges in order."""
    begins, ends = zip(*sorted(set(ranges))) if ranges else ((), ())
    return np.array(begins, np.int64), np.array(ends, np.int64)


def _homes(begins: Numbers, ends: Numbers, at: Numbers, size: int) -> Numbers:
    """Return the range that holds the bytes at each address; -1 where none does."""
    found = np.searchsorted(begins, at, "right") - 1
    return np.where((found >= 0) & (at + size <= ends[np.maximum(found, 0)]), found, -1) if len(ends) else found


def _memory(size: int) -> NDArray[np.generic]:
    """Return all memory behind the first page as items of a size; nothing is touched before it is read."""
    if size not in _memories:
        whole = (ctypes.c_uint8 * (TOP - PAGE)).from_address(PAGE)
        _memories[size] = np.frombuffer(memoryview(whole), np.uint8).view(ITEMS[size])
    return _memories[size]


_memories: dict[int, NDArray[np.generic]] = {}


def _mapped() -> list[tuple[int, int]]:
    """Return the ranges of this process's memory that may be written."""
    lines = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    found = (tuple(int(end, 16) for end in fields[0].split("-")) for fields in lines if fields[1].startswith("rw"))
    return [(begin, end) for begin, end in found if end < TOP]


class SharedMemory:
    """Shared memory of some blocks.

    Args:
        blocks, size: how many, and bytes of each.
        threads: of a block.
        watch: whether races between warps are looked for.
        granule: bytes of the smallest access.
    """

    def __init__(self, blocks: int, size: int, threads: int, *, watch: bool, granule: int):
        self.size, self.granule, self.warps = size, granule, threads // 32
        self.step = -(-size // 16) * 16
        self.bytes = np.full(blocks * self.step, 0xFF, np.uint8)  # NaN, until something is written
        lanes = np.arange(blocks * threads)
        self.base, self.warp, self.block = lanes // threads * self.step, lanes % threads // 32 + 1, lanes // threads
        self.epoch = np.zeros(blocks, np.int64)
        self.marks = Marks(len(self.bytes) // granule) if watch and size else None
        self.pending: list[tuple[Numbers, Numbers, Numbers]] = []
        self.copying = np.zeros(len(self.bytes) // granule if self.marks else 0, np.int32)
        self.groups = np.zeros(len(lanes), np.int64)

    def read(self, at: Numbers, size: int, lanes: Numbers) -> NDArray[np.generic]:
        """Return the items at addresses of the lanes' blocks.

        Raises:
            PtxError: where one is misaligned or outside, or races with another warp's.
        """
        at = self._inside(at, size, lanes)
        if self.marks is not None:
            since, who = self._now(lanes)
            for granules in self._granules(at, size):
                if self.marks.read(granules, who, since).any():
                    raise PtxError(RACE)
                if self.copying[granules].any():
                    raise PtxError("an asynchronous copy to shared memory has not been waited for")
        return self._items(size)[at >> size.bit_length() - 1]

    def write(self, at: Numbers, size: int, items: NDArray[np.generic], lanes: Numbers) -> Numbers:
        """Write items to addresses of the lanes' blocks; return these in the memory of all blocks.

        Raises:
            PtxError: as ``read`` does.
        """
        at = self._inside(at, size, lanes)
        memory, index = self._items(size), at >> size.bit_length() - 1
        if self.marks is None:
            memory[index] = items
            return at
        before = memory[index]
        memory[index] = items
        changed, lost = _differ(before, items), _differ(memory[index], items)
        since, who = self._now(lanes)
        for granules in self._granules(at, size):
            if self.marks.write(granules, who, since, changed, lost).any():
                raise PtxError(RACE)
        return at

    def _items(self, size: int) -> NDArray[np.generic]:
        return self.bytes.view(ITEMS[size])

    def _now(self, lanes: Numbers) -> tuple[Numbers, Numbers]:
        """Return the least number that may race with the lanes' accesses now, and the numbers of these."""
        before = self.epoch[self.block[lanes]] * (self.warps + 1)
        return before + 1, before + self.warp[lanes]

    def _granules(self, at: Numbers, size: int) -> Iterator[Numbers]:
        for step in range(0, max(size, self.granule), self.granule):
            yield (at + step) // self.granule

    def _inside(self, at: Numbers, size: int, lanes: Numbers) -> Numbers:
        if (at & (size - 1)).any():
            raise PtxError(f"an address of shared memory is no multiple of {size}")
        if int(at.min()) < 0 or int(at.max()) + size > self.size:
            raise PtxError(f"an address is outside of the {self.size} bytes of shared memory")
        return at + self.base[lanes]

    def pass_barrier(self, blocks: slice | NDArray[np.bool_]) -> None:
        """Let what these blocks have touched race no longer."""
        self.epoch[blocks] += 1

    def begin_copy(self, at: Numbers, size: int, lanes: Numbers) -> None:
        """Remember an asynchronous copy, in the group that is open."""
        if self.marks is not None:
            granules = (at[:, None] + np.arange(0, size, self.granule)).ravel() // self.granule
            self.copying[granules] += 1
            owners = np.repeat(lanes, max(1, size // self.granule))
            self.pending.append((granules, owners, self.groups[owners]))

    def commit(self, lanes: Numbers) -> None:
        """Close the group of asynchronous copies that is open."""
        self.groups[lanes] += 1

    def wait(self, left: int, lanes: Numbers) -> None:
        """Wait until at most ``left`` groups are under way; their bytes count as written now."""
        if self.marks is None:
            return
        waiting = np.zeros(len(self.groups), bool)
        waiting[lanes] = True
        pending, self.pending = self.pending, []
        for granules, owners, groups in pending:
            done = waiting[owners] & (groups < self.groups[owners] - left)
            self.copying[granules[done]] -= 1
            now = self.epoch[self.block[owners[done]]] * (self.warps + 1)
            self.marks.writer[granules[done]] = now + self.warp[owners[done]]
            if not done.all():
                self.pending.append((granules[~done], owners[~done], groups[~done]))
