"""Differentiable architecture search: search a space, and train the result.

``darts.fit(x, y)`` makes a trained model of data. ``darts.search(model, data)`` and ``darts.retrain(network, data)``
search and train a network of your own, ``darts.tune(build, data)`` searches what a function suggests, and
``darts.load(run)`` loads what was found. ``PUBLIC`` names the module that defines each name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darts.api.retrain import retrain
    from darts.api.search import search
    from darts.automatic.fit import fit
    from darts.automatic.loading import load
    from darts.automatic.trials.sequence import Conv2d, Dense, Dropout, MaxPool2d, Sequence
    from darts.automatic.trials.tune import tune
    from darts.blackbox.strategies.evolution import RegularizedEvolution
    from darts.blackbox.strategies.genetic import GeneticAlgorithm as Genetic
    from darts.blackbox.strategies.local_search import LocalSearch
    from darts.blackbox.strategies.random_search import RandomSearch
    from darts.blackbox.strategies.reinforce import Reinforce
    from darts.results import SearchResult

__all__ = [
    "Conv2d",
    "Dense",
    "Dropout",
    "Genetic",
    "LocalSearch",
    "MaxPool2d",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
    "SearchResult",
    "Sequence",
    "fit",
    "load",
    "retrain",
    "search",
    "tune",
]

PUBLIC = {
    "Conv2d": ("darts.automatic.trials.sequence", "Conv2d"),
    "Dense": ("darts.automatic.trials.sequence", "Dense"),
    "Dropout": ("darts.automatic.trials.sequence", "Dropout"),
    "Genetic": ("darts.blackbox.strategies.genetic", "GeneticAlgorithm"),
    "LocalSearch": ("darts.blackbox.strategies.local_search", "LocalSearch"),
    "MaxPool2d": ("darts.automatic.trials.sequence", "MaxPool2d"),
    "RandomSearch": ("darts.blackbox.strategies.random_search", "RandomSearch"),
    "RegularizedEvolution": ("darts.blackbox.strategies.evolution", "RegularizedEvolution"),
    "Reinforce": ("darts.blackbox.strategies.reinforce", "Reinforce"),
    "SearchResult": ("darts.results", "SearchResult"),
    "Sequence": ("darts.automatic.trials.sequence", "Sequence"),
    "fit": ("darts.automatic.fit", "fit"),
    "load": ("darts.automatic.loading", "load"),
    "retrain": ("darts.api.retrain", "retrain"),
    "search": ("darts.api.search", "search"),
    "tune": ("darts.automatic.trials.tune", "tune"),
}
"""Public name -> the module that defines it, and its name there."""


def __getattr__(name: str) -> Any:
    """Return a public name, imported when it is first used: importing it imports PyTorch."""
    if name in PUBLIC:
        module, defined = PUBLIC[name]
        return getattr(import_module(module), defined)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
