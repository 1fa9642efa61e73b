"""Gradient descent of logits through a surrogate: what supernets do, with a predictor in the supernet's place.

A Gaussian process predicts each objective from the architectures that were evaluated. Its expectation under independent
gates is exact and differentiable (``GatedProcess``), so logits are moved by gradients as in DARTS (Liu et al. 2019) or
through the predictor of NAO (Luo et al. 2018), and their largest decide.

Axes: ``b`` descent, ``n`` point, ``m`` objective, ``d`` decision, ``o`` value of a decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from darts.blackbox.pareto.fronts import Outcome, Values, front_of, outcome_from
from darts.blackbox.points import Decision, Decisions, Point, neighbours
from darts.blackbox.strategies.strategy import LEAST, MAX_DRAWS, Key, Search, Strategy, draw_new, key_of
from darts.blackbox.surrogates import GatedProcess, normal_scores
from darts.config.ranges import require

DEVIATION = 0.5
"""Standard deviation of the logits at the start of a descent."""

NOISE, REDRAWS = 0.15, 200
"""Scale of the Gumbel noise at the second try to decide, growing from try to try; tries before a point is random."""


Goodness = tuple[float, float, float]
"""Minus the violation of the limits, minus what is missing of the targets, what is expected of the first objective."""


@dataclass(frozen=True)
class SurrogateDescent(Strategy):
    """Evaluate ``first`` random points; then ``batch`` after ``batch`` what descents of logits decide.

    A descent begins at random logits and takes ``steps`` steps of Adam with ``lr``, up the expectation of the first
    objective. Each other objective is held above a target by ``weight`` times its shortfall; each descent draws its
    targets within the range of the Pareto set, so that together they find the whole set (the epsilon-constraint method,
    Haimes et al. 1971), and so are limits. The largest logits decide, with Gumbel noise until the point is new. The
    processes learn from the ``known`` newest points and the Pareto set.

    Where costs are known before an evaluation, ``climbs`` climbs among neighbours follow a descent, within the limits
    and the targets by the known costs, and decide; and the first points are within the limits.
    """

    first: int = 20
    batch: int = 10
    steps: int = 120
    lr: float = 0.2
    weight: float = 10.0
    known: int = 500
    climbs: int = 5
    several_objectives: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, from_1=("batch", "steps", "climbs"), from_2=("first", "known"), above_0=("lr", "weight"))

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: SurrogateDescent
    evaluated: list[tuple[Outcome, Point]] = field(default_factory=list)
    asked: set[Key] = field(default_factory=set)
    waiting: list[_Descended] = field(default_factory=list)
    met: dict[str, Decision] = field(default_factory=dict)
    extremes: Values = ()
    tries: int = MAX_DRAWS

    def ask(self, rng: Random) -> Point:
        if len(self.evaluated) >= self.options.first:
            if not self.waiting:
                self.waiting = self._descended(rng)
            if (point := self._decided(self.waiting.pop(0), rng)) is not None:
                self.asked.add(key_of(point))
                return point
            return draw_new(lambda: self.decisions.sample(rng), self.asked)
        return draw_new(lambda: self._within_limits(rng), self.asked)

    def tell(self, point: Point, value: Outcome | float | None) -> None:
        """Note the outcome of a point, or its value where there is one objective; None where it failed.

        A point that was known to be over a limit teaches nothing.
        """
        self.asked.add(key_of(point))
        if value is None or self._is_over(point):
            return
        self.evaluated.append((outcome_from(value), point))
        made: Point = {}
        while (decision := self.decisions.following(made)) is not None:
            self.met[decision.name] = decision
            made[decision.name] = point[decision.name]

    def _descended(self, rng: Random) -> list[_Descended]:
        """Return the ends of a batch of descents; random logits where nothing is known."""
        options, met = self.options, list(self.met.values())
        models = self._models(met, rng)
        width = max(len(decision.values) for decision in met)
        closed = torch.tensor([[place >= len(decision.values) for place in range(width)] for decision in met])
        generator = torch.Generator().manual_seed(rng.getrandbits(62))
        start = torch.randn(options.batch, *closed.shape, generator=generator, dtype=torch.float64)
        logits = (DEVIATION * start).requires_grad_()
        optimizer = torch.optim.Adam([logits], lr=options.lr)
        for _ in range(options.steps if models else 0):
            gates = logits.masked_fill(closed, -math.inf).softmax(-1)
            optimizer.zero_grad()
            losses = [model.loss(model.process.expectation(gates), options.weight).sum() for model in models]
            torch.stack(losses).sum().backward()
            optimizer.step()
        ends = enumerate(logits.detach().tolist())
        return [_Descended(met, rows, [model.of(place) for model in models]) for place, rows in ends]

    def _models(self, met: Sequence[Decision], rng: Random) -> list[_Model]:
        """Return the models of the objectives and of the limits.

        What fewer than two points are known of, as the accuracy where all are over a limit, has none.
        """
        front = set(front_of([outcome for outcome, _ in self.evaluated]))
        last = len(self.evaluated) - self.options.known
        known = [each for place, each in enumerate(self.evaluated) if place >= last or place in front]
        places = torch.tensor([_places(met, point) for _, point in known])  # (n, d)
        found = []
        for objective in range(len(known[0][0].values)):
            values = torch.tensor([outcome.values[objective] for outcome, _ in known], dtype=torch.float64)
            finite = values.isfinite() & (values > LEAST)
            if finite.sum() < 2:
                continue
            values, scores = values[finite], normal_scores(values[finite])
            process, scale, targets = GatedProcess.fit(places[finite], scores), _Scale.of(values, scores), None
            if objective:
                reached = [self.evaluated[place][0].values[objective] for place in front] or [float(values.max())]
                low, high = min(reached), max([*reached, *self.extremes[objective : objective + 1]])
                low -= (high - low) / self.options.batch  # about one of a batch is free to cost more than any before
                wanted = [low + (high - low) * rng.random() for _ in range(self.options.batch)]
                targets = scale.scores_of(torch.tensor(wanted, dtype=torch.float64))
            found.append(_Model(objective, process, scale, targets))
        violations = torch.tensor([outcome.violation for outcome, _ in known], dtype=torch.float64)
        if violations.any():
            scores = -violations / violations.std().clamp_min(1e-12)
            targets = torch.zeros(self.options.batch, dtype=torch.float64)
            found.append(_Model(None, GatedProcess.fit(places, scores), _Scale.of(-violations, scores), targets))
        return found

    def _decided(self, end: _Descended, rng: Random) -> Point | None:
        """Return a new point: with known costs the best of some climbs, else that of the largest logits, with as much
        noise as makes it new. None where none is found."""
        if (found := self._climbed(end, rng)) is not None:
            return found
        for redraw in range(REDRAWS):
            point = end.decided(self.decisions, NOISE * redraw, rng)
            if self.decisions.permits(point) and self._is_new(point):
                return point
        return None

    def _climbed(self, end: _Descended, rng: Random) -> Point | None:
        """Climb from the point of the largest logits, then from points that are drawn by the gates, each to its best
        neighbour until none is better; return the best new point of all that were seen."""
        if self.decisions.untrained(self.evaluated[-1][1]) is None:
            return None
        seen, found = set[Key](), list[tuple[Goodness, Point]]()
        for climb in range(self.options.climbs):
            found += self._climb(end.decided(self.decisions, float(climb > 0), rng), end, seen, rng)
        return max(found, key=_goodness_of)[1] if found else None

    def _climb(self, start: Point, end: _Descended, seen: set[Key], rng: Random) -> Iterator[tuple[Goodness, Point]]:
        """Climb among points that were not seen, and yield the best new one of each neighbourhood."""
        around, best = [start], None
        while around:
            around = [each for each in around if key_of(each) not in seen and self.decisions.permits(each)]
            seen.update(map(key_of, around))
            self._note_extremes(around)
            judged = sorted(zip(end.judged(self.decisions, around), around), key=_goodness_of, reverse=True)
            yield from [(value, point) for value, point in judged if self._is_new(point)][:1]
            if not judged or (best is not None and judged[0][0] <= best):
                return
            best, point = judged[0]
            around = list(neighbours(self.decisions, point, rng))

    def _note_extremes(self, points: Sequence[Point]) -> None:
        """Note the largest values that are known of points within the limits before they are evaluated."""
        for point in points:
            outcome = self.decisions.untrained(point)
            if outcome is not None and not outcome.violation:
                self.extremes = tuple(map(max, outcome.values, self.extremes or outcome.values))

    def _within_limits(self, rng: Random) -> Point:
        """Draw points until one is not known to be over a limit; if ``tries`` find none, draw one from then on."""
        for _ in range(self.tries):
            point = self.decisions.sample(rng)
            if not self._is_over(point):
                return point
        self.tries = 1
        return point

    def _is_new(self, point: Point) -> bool:
        """Whether a point was not asked before, and is not known to be over a limit."""
        return key_of(point) not in self.asked and not self._is_over(point)

    def _is_over(self, point: Point) -> bool:
        """Whether a point is known to be over a limit before it is evaluated."""
        outcome = self.decisions.untrained(point)
        return outcome is not None and outcome.violation > 0


@dataclass(frozen=True)
class _Scale:
    """The scores of known values, and linearly between them those of others.

    Attributes:
        values, scores: of the known points, ascending, ``(n,)``.
    """

    values: Tensor
    scores: Tensor

    @classmethod
    def of(cls, values: Tensor, scores: Tensor) -> _Scale:
        """Return the scale of values and scores in any order."""
        order = values.argsort(stable=True)
        return cls(values[order], scores[order])

    def scores_of(self, wanted: Tensor) -> Tensor:
        """Return the scores of some values, ``(b,)``."""
        above = torch.searchsorted(self.values, wanted).clamp(1, len(self.values) - 1)
        low, high = self.values[above - 1], self.values[above]
        share = ((wanted - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
        return self.scores[above - 1] + share * (self.scores[above] - self.scores[above - 1])


@dataclass(frozen=True)
class _Model:
    """What the processes know of one objective, or of the violation of the limits with its sign turned.

    Attributes:
        objective: its place among the objectives; None for the violation.
        process: that predicts its scores.
        scale: of its values.
        targets: scores that the descents hold it above, ``(b,)``; None where they climb it.
    """

    objective: int | None
    process: GatedProcess
    scale: _Scale
    targets: Tensor | None

    def loss(self, scores: Tensor, weight: float) -> Tensor:
        """Return what descents at these scores lose, ``(b,)``."""
        return -scores if self.targets is None else weight * (self.targets - scores).clamp_min(0)

    def of(self, descent: int) -> _Model:
        """Return the model with the target of one descent."""
        return self if self.targets is None else replace(self, targets=self.targets[descent])

    def scores_of(self, outcomes: Sequence[Outcome], gates: Tensor) -> Tensor:
        """Return the scores of points, ``(b,)``: of the values that are known of them, else those that are expected."""
        if self.objective is None:
            known = torch.tensor([-outcome.violation for outcome in outcomes], dtype=torch.float64)
        else:
            known = torch.tensor([outcome.values[self.objective] for outcome in outcomes], dtype=torch.float64)
        if known.isfinite().all():
            return self.scale.scores_of(known)
        return self.process.expectation(gates)


@dataclass(frozen=True)
class _Descended:
    """The end of a descent.

    Attributes:
        met: the decisions, in the order of the processes' axis ``d``.
        logits: of the values of each, ``d`` rows.
        models: with the targets of this descent.
    """

    met: Sequence[Decision]
    logits: Sequence[Sequence[float]]
    models: Sequence[_Model]

    def decided(self, decisions: Decisions, noise: float, rng: Random) -> Point:
        """Return the point of the largest logits with Gumbel noise of some scale; with 1 it is drawn by the gates."""
        rows = {decision.name: row for decision, row in zip(self.met, self.logits)}
        point: Point = {}
        while (decision := decisions.following(point)) is not None:
            row = rows.get(decision.name, [0.0] * len(decision.values))
            noisy = [logit + noise * _gumbel(rng) for logit in row[: len(decision.values)]]
            point[decision.name] = decision.values[noisy.index(max(noisy))]
        return point

    def judged(self, decisions: Decisions, points: Sequence[Point]) -> list[Goodness]:
        """Return how good points are whose costs are known, the larger the better; empty where none are known."""
        outcomes = [outcome for point in points if (outcome := decisions.untrained(point)) is not None]
        if not outcomes:
            return []
        places = torch.tensor([_places(self.met, point) for point in points])
        gates = one_hot(places.clamp_min(0), max(len(decision.values) for decision in self.met)).double()
        gates = gates * (places >= 0)[..., None]
        climbed, missing = torch.zeros(2, len(points), dtype=torch.float64)
        for model in self.models:
            loss = model.loss(model.scores_of(outcomes, gates), 1.0)
            if model.targets is None:
                climbed = climbed - loss
            else:
                missing = missing - loss
        violations = [-outcome.violation for outcome in outcomes]
        return list(zip(violations, missing.tolist(), climbed.tolist()))


def _goodness_of(judged: tuple[Goodness, Point]) -> Goodness:
    """Return the goodness of a judged point, to sort by."""
    return judged[0]


def _places(met: Sequence[Decision], point: Point) -> list[int]:
    """Return the place of the value that a point chose at each decision; -1 where it was not asked."""
    chosen = [(decision.values, point.get(decision.name)) for decision in met]
    return [values.index(value) if value in values else -1 for values, value in chosen]


def _gumbel(rng: Random) -> float:
    return -math.log(-math.log(rng.uniform(1e-12, 1 - 1e-12)))
