"""A strategy of search without gradients: which point to evaluate next, given what was evaluated.

A record of options ``start``s a search, which has two verbs. ``ask`` returns the next point; ``tell`` hands it a point
and its value, the larger the better, or None where the evaluation failed. A search draws from the generator that it is
given and from nothing else: the same sequence of ``ask`` and ``tell`` restores it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import ClassVar, Protocol

from darts.blackbox.points import Decisions, Point

Key = tuple[tuple[str, str], ...]
Evaluated = tuple[float, Point]
"""A value and the point that has it."""

LEAST = -1e30
"""Values below teach a policy gradient nothing: that of a proxy that is not finite is the most negative float."""

MAX_DRAWS = 1000
"""Points that are drawn before one that was evaluated already is returned again."""


class Search(Protocol):
    """One search at work."""

    def ask(self, rng: Random) -> Point:
        """Return the point to evaluate next."""

    def tell(self, point: Point, value: float | None) -> None:
        """Note the value of a point; None where its evaluation failed."""


class Strategy(Protocol):
    """The options of a strategy.

    Attributes:
        needs_shared_weights: whether it is defined by an evaluator of shared weights.
        enumerates: whether it asks for every point once, so that a search has an end without a budget.
        several_objectives: whether it searches by several objectives; it is told an ``Outcome`` then.
    """

    needs_shared_weights: ClassVar[bool] = False
    enumerates: ClassVar[bool] = False
    several_objectives: ClassVar[bool] = False

    def start(self, decisions: Decisions) -> Search:
        """Begin a search."""


def draw_new(draw: Callable[[], Point], asked: set[Key], draws: int = MAX_DRAWS) -> Point:
    """Draw points until one was not asked before, and note it in ``asked``; after ``draws`` of them, the last one."""
    for _ in range(draws):
        point = draw()
        if key_of(point) not in asked:
            break
    asked.add(key_of(point))
    return point


def key_of(point: Mapping[str, str]) -> Key:
    """Return a point as something that can be hashed."""
    return tuple(point.items())


def value_of(evaluated: Evaluated) -> float:
    """Return the value of an evaluated point, to sort by."""
    return evaluated[0]
