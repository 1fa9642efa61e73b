"""Loads, stores, asynchronous copies and atomic additions."""

from __future__ import annotations

from typing import Any

import numpy as np

from supernet.fused.ptx.formats import TYPES
from supernet.fused.ptx.lanes import Lanes
from supernet.fused.ptx.memory import ITEMS
from supernet.fused.ptx.operands import Step, address_of, reader, writer
from supernet.fused.ptx.program import Group, Instruction, Operand, PtxError


def decode(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """Return what a load, a store, an asynchronous copy or an atomic addition does."""
    if words[0] == "cp":
        return _copy(instruction, words, machine)
    if words[0] == "atom":
        return _atomic(instruction, words, machine)
    space = next((word.split("::")[0] for word in words if word.split("::")[0] in ("global", "shared", "param")), "")
    if not space or words[-1] not in TYPES:
        raise PtxError(f"not known: {instruction.opcode}")
    return (_load if words[0] == "ld" else _store)(instruction, words, space, machine)


def _parts(operand: Operand) -> tuple[Operand, ...]:
    return operand.parts if isinstance(operand, Group) else (operand,)


def _load(instruction: Instruction, words: list[str], space: str, machine: Lanes) -> Step:
    target, source = instruction.operands
    kind, writes = np.dtype(TYPES[words[-1]]), [writer(part) for part in _parts(target)]
    address, count = address_of(source, machine), len(writes)
    size = kind.itemsize * count

    def load(machine: Lanes, mask: Any) -> None:
        at = address(machine)
        if isinstance(at, int):  # of parameters, or the same place of each block's shared memory
            if space == "param":
                found = machine.parameters[at : at + size].view(kind)
                for number, write in zip(found, writes):
                    write(machine, number, mask)
                return
            at = np.full(machine.lanes, at)
        lanes = machine.active(mask)
        at = at if mask is None else at[lanes]
        items = _read(machine, space, at, size, lanes, ordered="cg" in words)
        parts = np.ascontiguousarray(items).view(kind).reshape(len(at), count)
        for number, write in enumerate(writes):
            write(machine, machine.spread(parts[:, number], lanes, mask), mask)

    return load


def _read(machine: Lanes, space: str, at: Any, size: int, lanes: Any, *, ordered: bool) -> Any:
    """Return items. Loads that pass by the first cache are those behind an atomic addition, which orders them."""
    match space:
        case "global":
            machine.memory.check(at, size, None if ordered else machine.block[lanes], False)
            return machine.memory.read(at, size)
        case "shared":
            return machine.shared.read(at, size, lanes)
    return machine.parameters[at[:, None] + np.arange(size)].view(ITEMS[size])[:, 0]


def _store(instruction: Instruction, words: list[str], space: str, machine: Lanes) -> Step:
    target, source = instruction.operands
    kind = np.dtype(TYPES[words[-1]])
    reads = [reader(part, TYPES[words[-1]], machine) for part in _parts(source)]
    address, size = address_of(target, machine), kind.itemsize * len(reads)
    if space == "param":
        raise PtxError(f"not known: {instruction.opcode}")

    def store(machine: Lanes, mask: Any) -> None:
        lanes = machine.active(mask)
        at = address(machine)
        at = np.full(len(lanes), at) if isinstance(at, int) else at if mask is None else at[lanes]
        values = np.empty((len(lanes), len(reads)), kind)
        for number, read in enumerate(reads):
            value = read(machine)
            values[:, number] = value if mask is None or np.ndim(value) == 0 else value[lanes]
        items = values.view(ITEMS[size])[:, 0]
        if space == "global":
            machine.memory.check(at, size, machine.block[lanes], True)
            machine.memory.write(at, size, items)
        else:
            machine.shared.write(at, size, items, lanes)

    return store


def _copy(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """An asynchronous copy from global to shared memory, made at once; what it may not be read before is kept."""
    match words[2]:
        case "commit_group":
            return lambda machine, mask: machine.shared.commit(machine.active(mask))
        case "wait_group" | "wait_all":
            left = reader(instruction.operands[0], np.int32, machine) if instruction.operands else None
            return lambda machine, mask: machine.shared.wait(
                -1 if left is None else int(left(machine)), machine.active(mask)
            )
    target, source, whole, *rest = instruction.operands
    to, start = address_of(target, machine), address_of(source, machine)
    size = int(reader(whole, np.int32, machine)(machine))
    given = reader(rest[0], np.uint32, machine) if rest else None

    def copy(machine: Lanes, mask: Any) -> None:
        lanes = machine.active(mask)
        wanted = np.full(len(lanes), size) if given is None else np.broadcast_to(given(machine), machine.lanes)[lanes]
        if ((wanted != 0) & (wanted != size)).any():
            raise PtxError("an asynchronous copy of a part of its bytes is not known")
        items = np.zeros(len(lanes), ITEMS[size])
        full = wanted == size
        if full.any():
            begin = start(machine)[lanes][full]
            machine.memory.check(begin, size, machine.block[lanes[full]], False)
            items[full] = machine.memory.read(begin, size)
        at = np.broadcast_to(to(machine), machine.lanes)[lanes]
        machine.shared.begin_copy(machine.shared.write(at, size, items, lanes), size, lanes)

    return copy


def _atomic(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """An atomic addition to global memory, by one lane after the other."""
    kind = np.dtype(TYPES[words[-1]]) if words[-1] in TYPES else None
    if kind is None or not {"global", "add"} <= set(words) or kind.kind not in "ui":
        raise PtxError(f"not known: {instruction.opcode}")
    target, place, given = instruction.operands
    write, address, read = writer(target), address_of(place, machine), reader(given, kind.type, machine)

    def add(machine: Lanes, mask: Any) -> None:
        lanes = machine.active(mask)
        at = np.broadcast_to(address(machine), machine.lanes)[lanes]
        values = np.broadcast_to(read(machine), machine.lanes)[lanes]
        machine.memory.check(at, kind.itemsize, None, True)
        before, counters = np.empty(len(lanes), kind), machine.memory.counters
        for number, value in enumerate(values):
            own = at[number : number + 1]
            found = machine.memory.read(own, kind.itemsize).view(kind)[0]
            if counters is None:
                machine.memory.write(own, kind.itemsize, np.array([found + value], kind).view(ITEMS[kind.itemsize]))
            else:
                found = kind.type(counters.get(int(own[0]), found))
                counters[int(own[0])] = int(found + value)
            before[number] = found
        write(machine, machine.spread(before, lanes, mask), mask)

    return add
