"""BANANAS: Bayesian optimization with an ensemble of neural predictors (White et al. 2021).

A surrogate predicts values from the path encoding of an architecture. A candidate's acquisition is one draw from the
normal distribution of its prediction (independent Thompson sampling). Surrogate, encoding and candidates are separate
options, so that what each contributes can be measured.

Axes: ``f`` feature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from darts.blackbox.points import Decisions, Point, mutate
from darts.blackbox.strategies.strategy import Evaluated, Key, Search, Strategy, key_of, value_of
from darts.blackbox.surrogates import ensemble, gaussian_process
from darts.config.ranges import choose, require

REDRAWS = 50
"""Points that are drawn before one that was asked for is a candidate again."""


@dataclass(frozen=True)
class Bananas(Strategy):
    """Evaluate ``first`` random points; then ``batch`` after ``batch`` those that a surrogate expects most of.

    ``surrogate``: ensemble, of ``members`` networks with two hidden layers of ``units``, trained by Adam for ``steps``
    with ``lr`` on all points; or gaussian_process, which needs no training. ``encoding``: path (in spaces without cells
    one_hot), one_hot, or both; ``paths``: number of shortest paths of each cell that the path encoding keeps.
    ``candidates``: how many points are drawn to choose from, as mutations of the best ``parents`` points (``propose``
    mutation), or at random.
    """

    first: int = 10
    batch: int = 10
    surrogate: str = "ensemble"
    members: int = 5
    units: int = 64
    steps: int = 150
    lr: float = 0.01
    encoding: str = "path"
    paths: int = 40
    propose: str = "mutation"
    parents: int = 10
    candidates: int = 100

    def __post_init__(self) -> None:
        require(self, from_1=("first", "batch", "units", "steps", "paths", "parents", "candidates"), above_0=("lr",))
        require(self, from_2=("members",))
        choose(self, surrogate=("ensemble", "gaussian_process"))
        choose(self, encoding=("path", "one_hot", "both"), propose=("mutation", "random"))

    def start(self, decisions: Decisions) -> Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: Bananas
    evaluated: list[Evaluated] = field(default_factory=list)
    asked: set[Key] = field(default_factory=set)
    waiting: list[Point] = field(default_factory=list)
    encodings: dict[Key, Tensor] = field(default_factory=dict)

    def ask(self, rng: Random) -> Point:
        if len(self.evaluated) < self.options.first:
            return self._noted(self._new(rng, []))
        if not self.waiting:
            self.waiting = self._chosen(rng)
        return self._noted(self.waiting.pop(0))

    def tell(self, point: Point, value: float | None) -> None:
        if value is not None:
            self.evaluated.append((value, point))

    def _noted(self, point: Point) -> Point:
        self.asked.add(key_of(point))
        return point

    def _chosen(self, rng: Random) -> list[Point]:
        """Return the next batch of points: those of the highest draws from the ensemble's predictions."""
        options = self.options
        best = [point for _, point in sorted(self.evaluated, key=value_of, reverse=True)[: options.parents]]
        parents = best if options.propose == "mutation" else []
        found: dict[Key, Point] = {}
        for _ in range(options.candidates):
            point = self._new(rng, parents)
            found.setdefault(key_of(point), point)
        candidates = list(found.values())
        generator = torch.Generator().manual_seed(rng.getrandbits(62))
        values = torch.tensor([value for value, _ in self.evaluated])
        known = torch.stack([self._encoded(point) for _, point in self.evaluated])
        asked = torch.stack([self._encoded(point) for point in candidates])
        if options.surrogate == "ensemble":
            size = options.members, options.units
            mean, deviation = ensemble(known, values, asked, size, options.steps, options.lr, generator)
        else:
            mean, deviation = gaussian_process(known, values, asked)
        draws = mean + deviation * torch.randn(len(candidates), generator=generator)
        return [candidates[place] for place in draws.argsort(descending=True, stable=True)[: options.batch].tolist()]

    def _new(self, rng: Random, parents: list[Point]) -> Point:
        """Return a mutation of one of some parents, or a random point; a new one where one is found."""
        point: Point = {}
        for _ in range(REDRAWS):
            point = mutate(self.decisions, rng.choice(parents), rng) if parents else self.decisions.sample(rng)
            if key_of(point) not in self.asked:
                break
        return point

    def _encoded(self, point: Point) -> Tensor:
        """Return a point's features, ``(f,)``."""
        key, encoding = key_of(point), self.options.encoding
        if key not in self.encodings:
            kinds = {"path": (self.options.paths,), "one_hot": (None,), "both": (self.options.paths, None)}[encoding]
            features = [feature for paths in kinds for feature in self.decisions.encoding(point, paths)]
            self.encodings[key] = torch.tensor(features)
        return self.encodings[key]
