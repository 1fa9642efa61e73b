"""Exhaustive search: every architecture of a space, for spaces small enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from darts.blackbox.points import Decisions, Point, every
from darts.blackbox.strategies.strategy import Search, Strategy


@dataclass(frozen=True)
class Exhaustive(Strategy):
    """Ask for every point once, in the order of the decisions' values; a search ends with the last one."""

    enumerates: ClassVar[bool] = True

    def start(self, decisions: Decisions) -> Search:
        """Begin a search."""
        return _Search(decisions)


@dataclass
class _Search(Search):
    decisions: Decisions
    waiting: Iterator[Point] = field(default_factory=lambda: iter(()))

    def ask(self, rng: Random) -> Point:
        point = next(self.waiting, None)
        if point is None:
            self.waiting = every(self.decisions)
            point = next(self.waiting)
        return point

    def tell(self, point: Point, value: float | None) -> None:
        pass
