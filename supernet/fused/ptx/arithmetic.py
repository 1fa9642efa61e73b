"""What PTX's instructions of arithmetic compute, on arrays of numpy with a value for each lane.

``FUNCTIONS`` has an opcode's first words; the types that follow in the opcode say how registers are read. What a GPU
approximates is computed here as exactly as its type allows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from supernet.fused.ptx.formats import Array


def _wide(values: Array) -> Array:
    """Return integers of 16 or 32 bits in twice as many."""
    values = np.asarray(values)
    return values.astype({"i": "i", "u": "u"}[values.dtype.kind] + str(2 * values.dtype.itemsize))


def _high(a: Array, b: Array) -> Array:
    a, bits = np.asarray(a), 8 * np.asarray(a).dtype.itemsize
    return (_wide(a) * _wide(b) >> bits).astype(a.dtype)


def _quotient(a: Array, b: Array) -> Array:
    """Return integers divided and rounded towards zero; -1 for a divisor of zero, which PTX leaves open."""
    safe = np.where(b == 0, 1, b)
    found = a // safe
    found = found + ((found < 0) & (found * safe != a))
    return np.where(b == 0, -1, found).astype(np.asarray(a).dtype)


def _over(a: Array, b: Array) -> Array:
    return a / b if np.asarray(a).dtype.kind == "f" else _quotient(a, b)


def _remainder(a: Array, b: Array) -> Array:
    return a - _quotient(a, b) * b


def _fma(a: Array, b: Array, c: Array) -> Array:
    """The product of float32 numbers is exact in float64; its sum is rounded there, then to float32."""
    return (np.asarray(a, np.float64) * np.asarray(b, np.float64) + np.asarray(c, np.float64)).astype(np.float32)


def _left(a: Array, count: Array) -> Array:
    bits = 8 * np.asarray(a).dtype.itemsize
    return np.where(count < bits, a << np.minimum(count, bits - 1).astype(np.asarray(a).dtype), 0).astype(
        np.asarray(a).dtype
    )


def _right(a: Array, count: Array) -> Array:
    bits, kind = 8 * np.asarray(a).dtype.itemsize, np.asarray(a).dtype
    shifted = a >> np.minimum(count, bits - 1).astype(kind)
    return shifted if kind.kind == "i" else np.where(count < bits, shifted, 0).astype(kind)


def _extract(a: Array, begin: Array, length: Array) -> Array:
    """Return bits of a number, extended by its sign where it is signed."""
    a = np.asarray(a)
    bits, signed = 8 * a.dtype.itemsize, a.dtype.kind == "i"
    begin, length = np.asarray(begin, np.uint64) & 255, np.asarray(length, np.uint64) & 255
    whole = a.astype(np.int64).astype(np.uint64) & np.uint64(2**bits - 1)
    mask = np.where(length < 64, (np.uint64(1) << np.minimum(length, 63)) - np.uint64(1), np.uint64(2**64 - 1))
    found = np.where(begin < bits, whole >> np.minimum(begin, 63), 0) & mask
    if signed:
        sign = whole >> np.minimum(begin + length - np.uint64(1), bits - 1) & np.uint64(1)
        found = np.where((sign == 1) & (length > 0), found | ~mask, found)
    return found.astype(a.dtype)


def _insert(a: Array, b: Array, begin: Array, length: Array) -> Array:
    """Return ``b`` with bits of ``a`` inserted."""
    kind = np.asarray(b).dtype
    begin, length = np.asarray(begin, np.uint64) & 255, np.asarray(length, np.uint64) & 255
    mask = ((np.uint64(1) << np.minimum(length, 63)) - np.uint64(1)) << np.minimum(begin, 63)
    wide = np.asarray(a).astype(np.uint64) << np.minimum(begin, 63)
    return ((np.asarray(b).astype(np.uint64) & ~mask) | (wide & mask)).astype(kind)


def _permute(a: Array, b: Array, selector: Array) -> Array:
    """Return bytes of two numbers as a selector's four digits name them; a digit above 7 repeats the byte's sign."""
    both = np.asarray(b).astype(np.uint64) << np.uint64(32) | np.asarray(a).astype(np.uint64)
    found = np.zeros(both.shape, np.uint32)
    for place in range(4):
        digit = np.asarray(selector).astype(np.uint64) >> np.uint64(4 * place) & np.uint64(15)
        byte = (both >> (np.uint64(8) * (digit & np.uint64(7))) & np.uint64(255)).astype(np.uint32)
        byte = np.where(digit > 7, np.where(byte > 127, 255, 0), byte).astype(np.uint32)
        found = found | byte << np.uint32(8 * place)
    return found


def _largest(a: Array, b: Array) -> Array:
    return np.fmax(a, b) if np.asarray(a).dtype.kind == "f" else np.maximum(a, b)


def _smallest(a: Array, b: Array) -> Array:
    return np.fmin(a, b) if np.asarray(a).dtype.kind == "f" else np.minimum(a, b)


def _chosen(a: Array, b: Array, chosen: Array) -> Array:
    return np.where(chosen, a, b)


def _ones(a: Array) -> Array:
    return np.bitwise_count(a).astype(np.uint32)


def _leading(a: Array) -> Array:
    """Return the number of zeros before the first one of numbers of 32 bits."""
    return (32 - np.frexp(np.asarray(a).astype(np.float64))[1]).astype(np.uint32)


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "mul.lo": np.multiply, "mul.hi": _high,
    "mul.wide": lambda a, b: _wide(a) * _wide(b),
    "mad.lo": lambda a, b, c: a * b + c, "mad.wide": lambda a, b, c: _wide(a) * _wide(b) + c,
    "fma": _fma, "div": _over, "rem": _remainder, "min": _smallest, "max": _largest,
    "min.NaN": np.minimum, "max.NaN": np.maximum,
    "neg": np.negative, "abs": np.abs, "not": np.invert, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "shl": _left, "shr": _right, "bfe": _extract, "bfi": _insert, "prmt": _permute,
    "popc": _ones, "clz": _leading, "copysign": lambda a, b: np.copysign(b, a),
    "selp": _chosen,
    "sqrt": np.sqrt, "rsqrt": lambda a: np.float32(1) / np.sqrt(a), "rcp": lambda a: np.float32(1) / a,
    "ex2": np.exp2, "lg2": np.log2, "cvta": lambda a: a,
}  # fmt: skip
"""Beginning of an opcode -> what it computes."""

COUNTS = {"shl": 1, "shr": 1, "bfe": 1, "bfi": 2}
"""Beginning of an opcode -> the first of its operands that are counts of bits, read as unsigned numbers."""

COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "ne": lambda a, b: (a != b) & (a == a) & (b == b),
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
    "equ": lambda a, b: (a == b) | (a != a) | (b != b), "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b), "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b), "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: (a == a) & (b == b), "nan": lambda a, b: (a != a) | (b != b),
}  # fmt: skip
"""Comparison of ``setp`` -> what it computes; those ending in ``u`` are true for NaN."""

COMBINED: dict[str, Callable[[Array, Array], Array]] = {
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
"""How ``setp`` may combine a comparison with another predicate."""
