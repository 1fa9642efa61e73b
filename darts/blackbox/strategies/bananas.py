"""BANANAS: Bayesian optimization with an ensemble of neural predictors (White et al. 2021).

An ensemble of small networks predicts values from the path encoding of an architecture, each trained from its own
initial weights on all that was evaluated. A candidate's acquisition is one draw from the normal distribution of the
ensemble's predictions (independent Thompson sampling). Encoding and candidates are separate options, so that what each
contributes can be measured.

Axes: ``m`` member of the ensemble, ``n`` point, ``f`` feature, ``u`` unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import torch
from torch import Tensor

from darts.blackbox.points import Decisions, Point, mutate
from darts.blackbox.strategies.strategy import Evaluated, Key, Search, Strategy, key_of, value_of
from darts.config.ranges import choose, require

REDRAWS = 50
"""Points that are drawn before one that was asked for is a candidate again."""


@dataclass(frozen=True)
class Bananas(Strategy):
    """Evaluate ``first`` random points; then ``batch`` after ``batch`` those that an ensemble expects most of.

    ``members``, ``units``: networks of the ensemble and the width of their two hidden layers; ``steps``, ``lr``: of
    their training by Adam on all points. ``encoding``: path (in spaces without cells one_hot), one_hot, or both;
    ``paths``: the path encoding keeps so many shortest paths of each cell. ``candidates``: how many points are drawn to
    choose from, as mutations of the best ``parents`` points (``propose`` mutation), or at random.
    """

    first: int = 10
    batch: int = 10
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
        predictions = predict(options, known, values, asked, generator)
        noise = torch.randn(len(candidates), generator=generator)
        draws = predictions.mean(0) + predictions.std(0) * noise
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


def predict(options: Bananas, known: Tensor, values: Tensor, asked: Tensor, generator: torch.Generator) -> Tensor:
    """Return what each member of an ensemble predicts, ``(m, n)``, in standard deviations of the known values.

    The members are perceptrons with two hidden layers, trained together by Adam on the mean squared error.

    Args:
        options: of the ensemble.
        known: encodings of the evaluated points, ``(n, f)``.
        values: of these points, ``(n,)``.
        asked: encodings of the points to predict, ``(n, f)``.
        generator: of the initial weights.
    """
    sizes = (known.shape[1], options.units, options.units, 1)
    weights: list[Tensor] = []
    for size, width in pairwise(sizes):
        bound = size**-0.5
        for shape in ((options.members, size, width), (options.members, 1, width)):
            weights.append(torch.empty(shape).uniform_(-bound, bound, generator=generator).requires_grad_())
    wanted = (values - values.mean()) / values.std().clamp_min(1e-12)
    optimizer = torch.optim.Adam(weights, lr=options.lr, foreach=True)
    for _ in range(options.steps):
        optimizer.zero_grad()
        loss = (_perceptrons(weights, known) - wanted).square().mean(1).sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return _perceptrons(weights, asked)


def _perceptrons(weights: list[Tensor], x: Tensor) -> Tensor:
    """Return the outputs of all members, ``(m, n)``, for the features ``(n, f)``."""
    x = x.expand(weights[0].shape[0], *x.shape)
    for layer in range(0, len(weights), 2):
        x = torch.baddbmm(weights[layer + 1], x, weights[layer])
        x = x.relu() if layer + 2 < len(weights) else x
    return x[..., 0]
