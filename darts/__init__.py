"""Differentiable architecture search: how a space is searched, and how its results are trained.

``darts.search(model, data)`` and ``darts.retrain(network, data)`` search and train a network of your own
(``darts.own``).
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """``search`` and ``retrain`` when they are first asked for: importing them imports PyTorch."""
    if name in ("search", "retrain"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
