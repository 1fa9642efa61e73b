"""Differentiable architecture search: search a space, and train the result.

``darts.search(model, data)`` and ``darts.retrain(network, data)`` search and train a network of your own; ``darts.api``
defines them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darts.api import SearchResult, retrain, search

__all__ = ["SearchResult", "retrain", "search"]


def __getattr__(name: str) -> Any:
    """Return a public name, imported when it is first used: importing it imports PyTorch."""
    if name in __all__:
        from darts import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
