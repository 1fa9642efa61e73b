"""Differentiable architecture search: search a space, and train the result.

``darts.search(model, data)`` and ``darts.retrain(network, data)`` search and train a network of your own, and
``darts.load(run, model)`` loads what they found. ``PUBLIC`` names the module that defines each name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darts.api import retrain, search
    from darts.automatic.fit import fit
    from darts.automatic.loading import load
    from darts.results import SearchResult

__all__ = ["SearchResult", "fit", "load", "retrain", "search"]

PUBLIC = {
    "SearchResult": "darts.results",
    "fit": "darts.automatic.fit",
    "load": "darts.automatic.loading",
    "retrain": "darts.api",
    "search": "darts.api",
}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> Any:
    """Return a public name, imported when it is first used: importing it imports PyTorch."""
    if name in PUBLIC:
        return getattr(import_module(PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
