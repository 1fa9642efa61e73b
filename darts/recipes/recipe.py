"""How a recipe is written: a function that returns a configuration, decorated with ``@recipe``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from darts.config import BlackboxConfig, DataConfig, MethodConfig, RetrainConfig, SearchConfig

C = TypeVar("C", bound=SearchConfig | RetrainConfig | BlackboxConfig)


def recipe(make: Callable[[], C]) -> Callable[[], C]:
    """Name the configuration that a function returns after the function.

    The function's docstring says what runs and which number to expect; ``--help`` prints it.
    """

    @wraps(make)
    def named() -> C:
        return replace(make(), recipe=make.__name__)

    return named


def by_name(*recipes: Callable[[], C]) -> dict[str, Callable[[], C]]:
    """Return recipes by their names, in the order given."""
    return {make.__name__: make for make in recipes}


def for_data(make: Callable[[], C], data: DataConfig) -> C:
    """Return a recipe's configuration on another data set."""
    return replace(make(), data=data)


def search(data: DataConfig, method: str | MethodConfig = "darts", **options: Any) -> SearchConfig:
    """Return a search on a data set by a method, given by its name or with components of its own.

    Args:
        options: other fields of ``SearchConfig``.
    """
    chosen = MethodConfig(method) if isinstance(method, str) else method
    return SearchConfig(data=data, method=chosen, **options)
