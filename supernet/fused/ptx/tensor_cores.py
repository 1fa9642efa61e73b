"""Matrices: ``ldmatrix``, ``movmatrix`` and ``mma.sync``.

Axes: ``w`` warp, ``g`` group of 4 lanes, ``t`` lane in its group, ``h`` half of a register.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from supernet.fused.ptx.formats import Array, halves_of, pairs_of, widened
from supernet.fused.ptx.lanes import Lanes
from supernet.fused.ptx.operands import Step, address_of, reader, writer
from supernet.fused.ptx.program import Group, Instruction, PtxError


def decode(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """Return what an instruction on matrices does; all lanes of a warp must run it."""
    if words[0] == "ldmatrix":
        return _load_matrices(instruction, words, machine)
    if words[0] == "movmatrix":
        return _transpose(instruction, words, machine)
    shape, kinds = words[3], words[6:]
    if shape not in ("m16n8k16", "m16n8k8") or kinds[0] != "f32" or kinds[3] != "f32" or words[4:6] != ["row", "col"]:
        raise PtxError(f"not known: {instruction.opcode}")
    d, *given = instruction.operands
    assert isinstance(d, Group) and all(isinstance(group, Group) for group in given)
    writes = [writer(part) for part in d.parts]
    a, b = ([reader(part, np.uint32, machine) for part in group.parts] for group in given[:2])  # type: ignore[union-attr]
    c = [reader(part, np.float32, machine) for part in given[2].parts]  # type: ignore[union-attr]

    def multiply(machine: Lanes, mask: Any) -> None:
        whole_warps(mask)
        left, right, before = (_stacked(machine, reads) for reads in (a, b, c))
        sums = _left(left, kinds[1]) @ _right(right, kinds[2]) + _sums(before)
        for write, values in zip(writes, _results(sums)):
            write(machine, values, mask)

    return multiply


def whole_warps(mask: Any) -> None:
    """Refuse a mask that splits a warp.

    Raises:
        PtxError: where it does.
    """
    if mask is not None:
        warps = mask.reshape(-1, 32)
        if (warps.any(1) != warps.all(1)).any():
            raise PtxError("a part of a warp runs an instruction that all its lanes must run together")


def _stacked(machine: Lanes, reads: list[Any]) -> Array:
    """Return registers as ``(register, w, g, t)``."""
    return np.stack([np.broadcast_to(read(machine), machine.lanes) for read in reads]).reshape(len(reads), -1, 8, 4)


def _tf32(bits: Array) -> Array:
    """Return the numbers that the tensor cores see: the bits that TF32 has not are dropped."""
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def _left(a: Array, kind: str) -> Array:
    """Return the matrices ``a``, ``(w, 16, k)``: register 0 has the upper left quarter, 1 the one below it."""
    if kind == "tf32":
        parts = _tf32(a).reshape(2, 2, -1, 8, 4)  # (column, row, w, g, t)
        return parts.transpose(2, 1, 3, 0, 4).reshape(-1, 16, 8)
    halves = widened(halves_of(a), kind).reshape(-1, 2, *a.shape[1:], 2)  # (column, row, w, g, t, h)
    return halves.transpose(2, 1, 3, 0, 4, 5).reshape(a.shape[1], 16, -1)


def _right(b: Array, kind: str) -> Array:
    """Return the matrices ``b``, ``(w, k, 8)``: a group of lanes has a column."""
    if kind == "tf32":
        return _tf32(b).transpose(1, 0, 3, 2).reshape(-1, 8, 8)  # from (row, w, g, t)
    halves = widened(halves_of(b), kind)  # (row, w, g, t, h)
    return halves.transpose(1, 0, 3, 4, 2).reshape(b.shape[1], -1, 8)


def _sums(c: Array) -> Array:
    """Return the matrices ``c``, ``(w, 16, 8)``."""
    parts = c.reshape(2, 2, *c.shape[1:])  # (row, column, w, g, t)
    return parts.transpose(2, 0, 3, 4, 1).reshape(-1, 16, 8)


def _results(sums: Array) -> Array:
    """Return matrices ``(w, 16, 8)`` as the four registers of every lane."""
    parts = sums.reshape(-1, 2, 8, 4, 2)
    return np.ascontiguousarray(parts.transpose(1, 4, 0, 2, 3)).reshape(4, -1)


def _load_matrices(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    target, source = instruction.operands
    assert isinstance(target, Group)
    writes, address, transposed = [writer(part) for part in target.parts], address_of(source, machine), "trans" in words
    count = len(writes)
    if "m8n8" not in words:
        raise PtxError(f"not known: {instruction.opcode}")

    def load(machine: Lanes, mask: Any) -> None:
        whole_warps(mask)
        chosen = machine.lane < 8 * count  # whose addresses are used
        lanes = machine.active(chosen if mask is None else chosen & mask)
        at = np.broadcast_to(address(machine), machine.lanes)[lanes]
        halves = machine.shared.read(at, 16, lanes).view(np.uint16).reshape(-1, count, 8, 8)  # (w, matrix, row, column)
        if transposed:
            halves = halves.swapaxes(2, 3)
        found = pairs_of(halves.reshape(-1, count, 8, 4, 2)).reshape(-1, count, 32)
        everyone = machine.active(mask)
        for number, write in enumerate(writes):
            write(machine, machine.spread(found[:, number].reshape(-1), everyone, mask), mask)

    return load


def _transpose(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    target, source = instruction.operands
    write, read = writer(target), reader(source, np.uint32, machine)
    if words[3:] != ["m8n8", "trans", "b16"]:
        raise PtxError(f"not known: {instruction.opcode}")

    def transpose(machine: Lanes, mask: Any) -> None:
        whole_warps(mask)
        rows = halves_of(_stacked(machine, [read])[0]).reshape(-1, 8, 8)  # of pairs
        write(machine, pairs_of(rows.swapaxes(1, 2).reshape(-1, 8, 4, 2)).reshape(-1), mask)

    return transpose
