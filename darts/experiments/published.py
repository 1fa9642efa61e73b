"""Published test errors of recipes, as their docstrings state them, and how far a run differs from a recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from darts.recipes import SEARCH_RECIPES
from darts.recipes.help import about

ERROR = re.compile(r"Published: (?P<mean>\d+\.\d+)(?: \+- (?P<std>\d+\.\d+))? % test error after retraining")
"""A published result in a recipe's docstring, in percent."""


def published_errors() -> dict[str, dict[str, Any]]:
    """Return recipe -> ``test_error`` in percent, its standard deviation or None, and what the recipe says of it."""
    found = {}
    for name, make in SEARCH_RECIPES.items():
        text = about(make)
        match = ERROR.search(text)
        if match:
            std = match["std"]
            found[name] = {"test_error": float(match["mean"]), "std": std and float(std), "source": text}
    return found


def differences(ours: Mapping[str, Any], published: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return field -> ours and the recipe's, for those that differ."""
    names = dict.fromkeys([*ours, *published])
    return {name: [ours.get(name), published.get(name)] for name in names if ours.get(name) != published.get(name)}
