"""Instructions of PTX as functions of a machine: each is decoded once, when its basic block runs first.

A function gets the machine and the lanes that run it, a mask or ``None`` for all, and replaces the arrays of the
registers that it writes; no array is changed in place, so registers may share one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from supernet.fused.ptx import tensor_cores, transfers
from supernet.fused.ptx.arithmetic import COMBINED, COMPARISONS, COUNTS, FUNCTIONS
from supernet.fused.ptx.formats import REGISTERS, TYPES, Array, converted, halves_of, narrowed, pairs_of, widened
from supernet.fused.ptx.lanes import Lanes, Mask
from supernet.fused.ptx.operands import Read, Step, reader, writer
from supernet.fused.ptx.program import Group, Instruction, PtxError, Register

NOTHING = ("bar.warp.sync", "membar", "fence")
"""Lanes of a warp that run together wait for each other anyway."""

MODIFIERS = {"rn", "NaN", "approx", "full", "ftz", "lo", "hi", "wide", "to", "global", "shared"}
"""Words between an opcode's name and its type that change nothing here; subnormal numbers are never flushed to zero."""


def decode(instruction: Instruction, machine: Lanes) -> Step:
    """Return what an instruction does, under its guard.

    Raises:
        PtxError: where it is not known.
    """
    step = _decode(instruction, machine)
    if instruction.guard is None:
        return step
    register, wanted = instruction.guard

    def guarded(machine: Lanes, mask: Mask) -> None:
        chosen = machine.registers[register.index] if wanted else ~machine.registers[register.index]
        if mask is not None:
            chosen = chosen & mask
        if chosen.all():
            step(machine, None)
        elif chosen.any():
            step(machine, chosen)

    return guarded


def _decode(instruction: Instruction, machine: Lanes) -> Step:
    words = instruction.opcode.split(".")
    if instruction.opcode.startswith(NOTHING):
        return lambda machine, mask: None
    match words[0]:
        case "ld" | "st" | "cp" | "atom":
            return transfers.decode(instruction, words, machine)
        case "ldmatrix" | "movmatrix" | "mma":
            return tensor_cores.decode(instruction, words, machine)
        case "shfl" | "vote" | "redux":
            return _among_lanes(instruction, words, machine)
        case "mov":
            return _move(instruction, words, machine)
        case "cvt":
            return _convert(instruction, words, machine)
        case "setp":
            return _compare(instruction, words, machine)
        case "set":
            return _compare_pairs(instruction, words, machine)
    return _compute(instruction, words, machine)


def _compute(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    name = words[0] if words[0] in FUNCTIONS and words[1] not in ("lo", "hi", "wide", "NaN") else ".".join(words[:2])
    kind = words[-1]
    known = name in FUNCTIONS and kind in TYPES and set(words[1:-1]) <= MODIFIERS
    if not known:
        raise PtxError(f"not known: {instruction.opcode}")
    function, counts = FUNCTIONS[name], COUNTS.get(words[0], 9)
    target, *given = instruction.operands
    if kind in ("bf16", "bf16x2", "f16x2", "f16"):
        return _compute_halves(function, kind, instruction, machine)
    kinds = ["u32" if at >= counts else kind for at in range(len(given))]
    if words[0] == "selp":
        kinds[2] = "pred"
    if name == "mad.wide":
        kinds[2] = kind[0] + str(2 * int(kind[1:]))
    reads = [reader(operand, TYPES[own], machine) for operand, own in zip(given, kinds)]
    write = writer(target)
    return _stepper(function, reads, write)


def _stepper(function: Callable[..., Array], reads: list[Read], write: Callable[..., None]) -> Step:
    if len(reads) == 2:
        first, second = reads
        return lambda machine, mask: write(machine, function(first(machine), second(machine)), mask)
    return lambda machine, mask: write(machine, function(*(read(machine) for read in reads)), mask)


def _compute_halves(function: Callable[..., Array], kind: str, instruction: Instruction, machine: Lanes) -> Step:
    """An instruction on numbers of 16 bits, or on pairs of them: it rounds float32's result, which is as exact."""
    target, *given = instruction.operands
    packed, base = kind.endswith("x2"), kind.removesuffix("x2")
    reads, write = [reader(operand, np.uint32 if packed else np.uint16, machine) for operand in given], writer(target)

    def step(machine: Lanes, mask: Mask) -> None:
        values = (np.atleast_1d(np.asarray(read(machine))) for read in reads)
        found = narrowed(function(*(widened(halves_of(v) if packed else v, base) for v in values)), base)
        write(machine, pairs_of(found) if packed else found, mask)

    return step


def _convert(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    target, source = words[-2:]
    rounding = next((word for word in words if word in ("rn", "rz", "rni", "rzi", "rmi", "rpi")), "")
    to, *given = instruction.operands
    write = writer(to)
    if target.endswith("x2"):
        upper, lower = (reader(operand, np.float32, machine) for operand in given)
        base = target.removesuffix("x2")

        def pair(machine: Lanes, mask: Mask) -> None:
            both = np.broadcast_arrays(np.atleast_1d(lower(machine)), np.atleast_1d(upper(machine)))
            values = np.stack(both, -1)
            values = np.maximum(values, np.float32(0)) if "relu" in words else values
            write(machine, pairs_of(narrowed(values, base)), mask)

        return pair
    read = reader(given[0], TYPES[source], machine)
    return lambda machine, mask: write(machine, converted(np.asarray(read(machine)), source, target, rounding), mask)


def _compare(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """A comparison, which may be combined with a predicate; of pairs of numbers it has two results."""
    target, *given = instruction.operands
    kind, packed = words[-1], words[-1].endswith("x2")
    if words[1] not in COMPARISONS or kind not in TYPES or isinstance(target, Group) != packed:
        raise PtxError(f"not known: {instruction.opcode}")
    compare, base = COMPARISONS[words[1]], kind.removesuffix("x2")
    reads = [reader(operand, TYPES[kind], machine) for operand in given[:2]]
    combine = COMBINED[words[2]] if len(given) > 2 else None
    other = reader(given[2], np.bool_, machine) if len(given) > 2 else None
    writes = [writer(part) for part in target.parts] if isinstance(target, Group) else [writer(target)]

    def step(machine: Lanes, mask: Mask) -> None:
        values = [read(machine) for read in reads]
        if packed or base == "bf16":
            bits = [np.atleast_1d(np.asarray(value)) for value in values]
            values = [widened(halves_of(own) if packed else own, base) for own in bits]
        found = compare(*values)
        for number, write in enumerate(writes):
            own = found[..., number] if packed else found
            write(machine, own if combine is None or other is None else combine(own, other(machine)), mask)

    return step


def _compare_pairs(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """A comparison of pairs of numbers of 16 bits, which gives pairs of 1 and 0."""
    target, *given = instruction.operands
    _, name, to, kind = words
    if name not in COMPARISONS or not kind.endswith("x2") or to != kind:
        raise PtxError(f"not known: {instruction.opcode}")
    compare, base = COMPARISONS[name], kind.removesuffix("x2")
    reads, write = [reader(operand, np.uint32, machine) for operand in given], writer(target)

    def step(machine: Lanes, mask: Mask) -> None:
        values = (widened(halves_of(np.atleast_1d(np.asarray(read(machine)))), base) for read in reads)
        write(machine, pairs_of(narrowed(compare(*values).astype(np.float32), base)), mask)

    return step


def _move(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """A copy, or the parts of a register in registers of a shorter type, or those put together."""
    target, source = instruction.operands
    if isinstance(target, Group):
        parts = [part for part in target.parts if isinstance(part, Register)]
        kind, whole = REGISTERS[parts[0].bits], reader(source, TYPES[words[-1]], machine)
        writes = [writer(part) for part in target.parts]

        def split(machine: Lanes, mask: Mask) -> None:
            values = np.ascontiguousarray(np.broadcast_to(whole(machine), machine.lanes))
            for number, write in enumerate(writes):
                write(machine, values.view(kind)[number :: len(writes)], mask)

        return split
    write = writer(target)
    if isinstance(source, Group):
        width = int(words[-1][1:]) // len(source.parts)
        reads = [reader(part, REGISTERS[width], machine) for part in source.parts]

        def joined(machine: Lanes, mask: Mask) -> None:
            values = np.stack([np.broadcast_to(read(machine), machine.lanes) for read in reads], -1)
            write(machine, values.view(TYPES[words[-1]])[:, 0], mask)

        return joined
    read = reader(source, TYPES[words[-1]], machine)
    return lambda machine, mask: write(machine, read(machine), mask)


def _among_lanes(instruction: Instruction, words: list[str], machine: Lanes) -> Step:
    """Exchange between the lanes of a warp: ``shfl``, ``vote``, ``redux``."""
    target, *given = instruction.operands
    write = writer(target.parts[0] if isinstance(target, Group) else target)
    if words[0] == "shfl":
        value, lane, clamp = (reader(operand, np.uint32, machine) for operand in given[:3])
        also = writer(target.parts[1]) if isinstance(target, Group) else None
        mode = words[2]

        def shuffle(machine: Lanes, mask: Mask) -> None:
            found, inside = _shuffled(machine, mask, mode, value(machine), lane(machine), clamp(machine))
            write(machine, found, mask)
            if also is not None:
                also(machine, inside, mask)

        return shuffle
    predicate = words[0] == "vote"
    read = reader(given[0], np.bool_ if predicate else TYPES[words[-1]], machine)

    def gather(machine: Lanes, mask: Mask) -> None:
        values = np.broadcast_to(read(machine), machine.lanes).reshape(-1, 32)
        active = np.ones(values.shape, bool) if mask is None else mask.reshape(-1, 32)
        write(machine, np.repeat(_gathered(words, values, active), 32), mask)

    return gather


def _shuffled(machine: Lanes, mask: Mask, mode: str, value: Any, lane: Any, clamp: Any) -> tuple[Array, Array]:
    own = machine.lane
    given = np.asarray(lane, np.int64) & 31
    segment, bound = np.asarray(clamp, np.int64) >> 8 & 31, np.asarray(clamp, np.int64) & 31
    least, most = own & segment, (own & segment) | (bound & ~segment)
    match mode:
        case "up":
            source, inside = own - given, own - given >= most
        case "down":
            source, inside = own + given, own + given <= most
        case "bfly":
            source, inside = own ^ given, (own ^ given) <= most
        case _:
            source, inside = least | (given & ~segment), (least | (given & ~segment)) <= most
    source = np.where(inside, source, own) + machine.first_lane
    if mask is not None and not mask[source][mask].all():
        raise PtxError("a lane is read by another that runs without it")
    return np.broadcast_to(value, machine.lanes)[source], np.broadcast_to(inside, machine.lanes)


def _gathered(words: list[str], values: Array, active: Array) -> Array:
    """Return a result for each warp."""
    match words[0], words[2]:
        case "vote", "ballot":
            return ((values & active) << np.arange(32, dtype=np.uint32)).sum(1, dtype=np.uint32)
        case "vote", "any":
            return np.any(values & active, 1)
        case "vote", "all":
            return np.all(values | ~active, 1)
        case "redux", "add":
            return np.where(active, values, 0).sum(1, dtype=values.dtype)
        case "redux", ("min" | "max") as name:
            limits = np.iinfo(values.dtype)
            rest = limits.max if name == "min" else limits.min
            return getattr(np.where(active, values, values.dtype.type(rest)), name)(1)
    raise PtxError(f"not known: {'.'.join(words)}")
