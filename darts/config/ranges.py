"""Allowed values: ranges that stand beside the fields of a configuration, and those of a component's options.

A field of a configuration is annotated with its range, ``lr: Annotated[float, POSITIVE]``, and ``darts.config.check``
reads the annotations. A component (a relaxation, a penalty, ...) validates its options when it is made, by ``require``
and ``choose``.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeGuard


@dataclass(frozen=True)
class Range:
    """A set of numbers, and how a message names it."""

    text: str
    contains: Callable[[float], bool]


def is_finite(value: Any) -> bool:
    """Whether a number is finite, and a float holds it."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a file is a finite number."""
    return type(value) in (int, float) and is_finite(value)


POSITIVE = Range("more than 0", lambda value: value > 0)
NOT_NEGATIVE = Range("0 or more", lambda value: value >= 0)
FROM_1 = Range("1 or more", lambda value: value >= 1)
FROM_2 = Range("2 or more", lambda value: value >= 2)
SHARE = Range("in [0, 1]", lambda value: 0 <= value <= 1)
POSITIVE_SHARE = Range("more than 0 and at most 1", lambda value: 0 < value <= 1)
BELOW_1 = Range("in [0, 1)", lambda value: 0 <= value < 1)
BETWEEN_0_AND_1 = Range("more than 0 and less than 1", lambda value: 0 < value < 1)
BELOW_HALF = Range("in (0, 0.5)", lambda value: 0 < value < 0.5)
FINITE = Range("a finite number", is_finite)


def at_most(most: int) -> Range:
    """Return the range of numbers up to ``most``."""
    return Range(f"at most {most}", lambda value: value <= most)


WIDEST = at_most(2**31 - 1)
"""Counts and sizes, wherever a field does not say less: parts of PyTorch hold them in 32 bits."""

LARGEST = Range("between -1e30 and 1e30", lambda value: -1e30 <= value <= 1e30)
"""Other numbers: what float32 holds, with room for a product with a gradient."""

SEED = Range("from 0 to 18446744069414584319", lambda value: 0 <= value < 2**64 - 2**32)
"""Seeds: PyTorch takes 64 bits, and streams of random numbers add less than 2^32 to tell themselves apart."""

RANGES: dict[str, Range] = {
    "above_0": POSITIVE,
    "from_0": NOT_NEGATIVE,
    "from_1": FROM_1,
    "from_2": FROM_2,
    "share": SHARE,
    "below_1": BELOW_1,
}
"""The ranges of components' options, as ``require`` names them."""


def require(component: Any, **fields: tuple[str, ...]) -> None:
    """Refuse options out of their range; those that are ``None`` by default may be ``None``.

    Args:
        component: whose options they are.
        fields: name of a range -> names of options.

    Raises:
        ValueError: naming the first such option, its value and what is allowed.
    """
    for kind, names in fields.items():
        for name in names:
            value = getattr(component, name)
            if value is None and getattr(type(component), name, None) is None:
                continue
            number = isinstance(value, Real) and not isinstance(value, bool) and is_finite(value)
            if not number or not RANGES[kind].contains(value):
                raise ValueError(f"{name} is {str(value)[:40]}; it must be {RANGES[kind].text}")


def choose(component: Any, **fields: Iterable[str]) -> None:
    """Refuse options that are none of the allowed names.

    Raises:
        ValueError: naming the first such option, its value and what is allowed.
    """
    for name, allowed in fields.items():
        value = getattr(component, name)
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
