"""Formats of numbers in registers: as arrays of numpy, and rounded as PTX rounds them.

A register holds bits, as unsigned integers; a predicate is an array of booleans.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TYPES: dict[str, type[np.generic]] = {
    "pred": np.bool_,
    **{f"{kind}{bits}": getattr(np, f"uint{bits}") for kind in "bu" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": getattr(np, f"int{bits}") for bits in (8, 16, 32, 64)},
    "f16": np.float16, "f32": np.float32, "f64": np.float64, "bf16": np.uint16, "tf32": np.uint32,
    "f16x2": np.uint32, "bf16x2": np.uint32,
}  # fmt: skip
"""Type of PTX -> type of numpy. bfloat16, TF32 and pairs are kept as their bits."""

REGISTERS: dict[int, type[np.generic]] = {1: np.bool_, 16: np.uint16, 32: np.uint32, 64: np.uint64}
"""Bits of a register -> type of its array."""


def widened(halves: Array, kind: str) -> Array:
    """Return numbers of 16 bits, given as their bits, as float32."""
    if kind == "f16":
        return halves.view(np.float16).astype(np.float32)
    return (halves.astype(np.uint32) << 16).view(np.float32)


def narrowed(values: Array, kind: str) -> Array:
    """Return float32 numbers rounded to nearest even in 16 bits, as their bits."""
    if kind == "f16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FFF, rounded).astype(np.uint16)


def rounded_to_tf32(values: Array) -> Array:
    """Return float32 numbers rounded to TF32, ties away from zero, as their bits."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return np.where(np.isfinite(values), (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits)


def halves_of(pairs: Array) -> Array:
    """Return pairs of 16-bit numbers, ``(...)``, as ``(..., 2)``, the lower half first."""
    return np.ascontiguousarray(pairs)[..., None].view(np.uint16)


def pairs_of(halves: Array) -> Array:
    """Return 16-bit numbers, ``(..., 2)``, as pairs, ``(...)``."""
    return np.ascontiguousarray(halves).view(np.uint32)[..., 0]


def converted(values: Array, source: str, target: str, rounding: str) -> Array:
    """Return numbers in another type, as numbers or bits of ``TYPES[target]``.

    Args:
        rounding: ``rn``, ``rz``, ``rni``, ``rzi``, ``rmi``, ``rpi`` or nothing.
    """
    if source in ("bf16", "f16"):
        values = widened(values.view(np.uint16), source)
        source = "f32"
    floating = source in ("f32", "f64")
    if target in ("f32", "f64"):
        return values.astype(TYPES[target])
    if target in ("bf16", "f16"):
        return narrowed(values.astype(np.float32), target).view(TYPES[target])
    if target == "tf32":
        return rounded_to_tf32(values)
    if floating:
        whole = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[rounding](values.astype(np.float64))
        limits = np.iinfo(np.dtype(TYPES[target]).name)
        return np.clip(np.nan_to_num(whole), limits.min, limits.max).astype(TYPES[target])
    return values.astype(TYPES[target])
