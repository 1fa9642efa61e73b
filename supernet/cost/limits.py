"""Limits on the costs of architectures, as a user writes them: ``parameters=1.5M,latency=5ms``.

Units: ``k``, ``M`` and ``G`` (powers of 1000) for all; ``B``, ``KB``, ``MB``, ``GB`` for memory; ``us``, ``ms`` and
``s`` for latency, which is milliseconds without a unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from supernet.cost.architecture import COSTS
from supernet.errors import SpaceError

THOUSANDS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
UNITS: dict[str, dict[str, float]] = {
    "memory": {**THOUSANDS, "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9},
    "latency": {"": 1.0, "us": 1e-3, "ms": 1.0, "s": 1e3},
}
"""Cost -> the units that a quantity of it may have, in the unit of ``COSTS``; others have ``THOUSANDS``."""

QUANTITY = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)")


def quantity(cost: str, text: str) -> float:
    """Return a quantity of a cost in the unit of ``COSTS``.

    Raises:
        ValueError: where the text is not a positive quantity in a unit of the cost.
    """
    units = UNITS.get(cost, THOUSANDS)
    found = QUANTITY.fullmatch(text.strip())
    try:
        value = float(found[1]) * units[found[2]] if found else math.nan
    except (ValueError, KeyError):
        value = math.nan
    if not 0 < value < math.inf:
        written = ", ".join(unit for unit in units if unit)
        raise ValueError(f"{text[:40]!r} is not a positive quantity of {cost}; its unit may be {written}")
    return value


def parse_limits(text: str, field: str = "limits") -> dict[str, float]:
    """Return limits as cost -> largest value, in the units of ``COSTS``.

    Args:
        text: such as ``parameters=1.5M,latency=5ms``.
        field: of the configuration that holds it, for messages.

    Raises:
        SpaceError: naming the field, the part of the text, and what is allowed.
    """
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = (each.strip(" <") for each in part.partition("="))
        if not sign or name not in COSTS:
            raise SpaceError(f"`{field}` is {part[:40]!r}; write COST=VALUE, where COST is one of {', '.join(COSTS)}")
        if name in limits:
            raise SpaceError(f"`{field}` has two limits of {name}; leave out one")
        try:
            limits[name] = quantity(name, value)
        except ValueError as error:
            raise SpaceError(f"`{field}` is {part[:40]!r}: {error}") from None
    return limits


def exceeded(costs: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Return by how much costs exceed their limits, as shares of the limits: those that do, empty where none does."""
    return {name: costs[name] / limit - 1 for name, limit in limits.items() if costs[name] > limit}


def shown(cost: str, value: float) -> str:
    """Return a cost as a reader expects it, such as ``1.25M`` or ``4.8ms``."""
    unit = COSTS[cost].unit
    if unit == "ms":
        return f"{value:.4g}ms"
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.4g}{prefix}{unit}"
    return f"{value:.4g}{unit}"
