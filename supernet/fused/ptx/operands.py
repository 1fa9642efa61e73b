"""Reading and writing the operands of instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from supernet.fused.ptx.formats import REGISTERS, Array
from supernet.fused.ptx.lanes import Lanes, Mask
from supernet.fused.ptx.program import Address, Constant, Group, Name, Operand, PtxError, Register

Read = Callable[[Lanes], Any]
Write = Callable[[Lanes, Any, Mask], None]
Step = Callable[[Lanes, Mask], None]
"""What an instruction does."""


def reader(operand: Operand, kind: type[np.generic], machine: Lanes) -> Read:
    """Return what gets an operand's values: an array, or one number for all lanes.

    Args:
        kind: type that its bits are read as.
    """
    if isinstance(operand, Register):
        index, bits = operand.index, 8 * np.dtype(kind).itemsize
        if operand.bits == 1:
            return lambda machine: machine.registers[index]
        if operand.bits == bits:
            return lambda machine: machine.registers[index].view(kind)
        same = REGISTERS.get(bits, np.uint8)
        return lambda machine: machine.registers[index].astype(same).view(kind)
    value = _constant(operand, machine)
    if isinstance(value, int):
        size = np.dtype(kind).itemsize
        number = bool(value) if kind == np.bool_ else np.frombuffer((value % 2**64).to_bytes(8, "little"), kind)[0]
        if kind != np.bool_ and size < 8:
            number = np.frombuffer((value % 2 ** (8 * size)).to_bytes(size, "little"), kind)[0]
        return lambda machine: number
    return lambda machine: value.astype(kind) if value.dtype != kind else value


def _constant(operand: Operand, machine: Lanes) -> int | Array:
    match operand:
        case Constant(value):
            return value
        case Name(text):
            program = machine.program
            if text in program.shared:
                return program.shared[text]
            if text in program.parameters:
                return program.parameters[text][0]
            if text in machine.special:
                return machine.special[text]
            raise PtxError(f"not known: {text}")
    raise PtxError(f"an operand is not understood: {operand}")


def writer(operand: Operand) -> Write:
    """Return what puts values into a register, extended by their type where it is longer; ``_`` takes them nowhere."""
    if isinstance(operand, Name) and operand.text == "_":
        return lambda machine, values, mask: None
    if isinstance(operand, Group):
        (operand,) = operand.parts
    if not isinstance(operand, Register):
        raise PtxError(f"not a register: {operand}")
    index, kind = operand.index, np.dtype(REGISTERS[operand.bits])

    def write(machine: Lanes, values: Any, mask: Any) -> None:
        values = np.asarray(values)
        if values.dtype != kind:
            same = values.dtype.itemsize == kind.itemsize and kind != np.bool_
            values = values.view(kind) if same else _extended(values, kind)
        if mask is not None:
            values = np.where(mask, values, machine.registers[index])
        elif values.ndim == 0 or len(values) != machine.lanes:
            values = np.full(machine.lanes, values, kind)
        elif not values.flags.c_contiguous:
            values = np.ascontiguousarray(values)
        machine.registers[index] = values

    return write


def _extended(values: Array, kind: np.dtype) -> Array:
    if values.dtype.kind == "f":  # of fewer bits than the register: never a number of another type
        values = values.view(f"u{values.dtype.itemsize}")
    return values.astype(kind)


def address_of(operand: Operand, machine: Lanes) -> Read:
    """Return what gets the addresses that an operand names, int64."""
    assert isinstance(operand, Address)
    base, offset = operand.base, operand.offset
    if isinstance(base, Register):
        index = base.index
        if base.bits == 32:
            return lambda machine: machine.registers[index].astype(np.int64) + offset
        return lambda machine: machine.registers[index].view(np.int64) + offset
    value = _constant(base, machine)
    assert isinstance(value, int)
    at = value + offset
    return lambda machine: at
