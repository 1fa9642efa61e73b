"""What the options of a component may be. A component looks when it is made: mistakes are told before anything is trained."""

from collections.abc import Callable, Iterable
from typing import Any

RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "above_0": ("more than 0", lambda value: value > 0),
    "from_0": ("0 or more", lambda value: value >= 0),
    "from_1": ("1 or more", lambda value: value >= 1),
    "from_2": ("2 or more", lambda value: value >= 2),
    "share": ("in [0, 1]", lambda value: 0 <= value <= 1),
    "below_1": ("in [0, 1)", lambda value: 0 <= value < 1),
}
"""Range -> how it is told, and whether a value is in it."""


def require(component: Any, **fields: tuple[str, ...]) -> None:
    """Refuse options out of their range; those that are ``None`` are not looked at.

    Args:
        component: whose options they are.
        fields: range -> names of options.

    Raises:
        ValueError: naming the first such option, its value and what is allowed.
    """
    for kind, names in fields.items():
        told, holds = RANGES[kind]
        for name in names:
            value = getattr(component, name)
            if value is not None and not holds(value):
                raise ValueError(f"{name} is {value}; it must be {told}")


def choose(component: Any, **fields: Iterable[str]) -> None:
    """Refuse options that are none of their names.

    Raises:
        ValueError: naming the first such option, its value and what is allowed.
    """
    for name, allowed in fields.items():
        value = getattr(component, name)
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
