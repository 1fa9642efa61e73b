"""Gradient descent of logits through a surrogate: what supernets do, with a predictor in the supernet's place.

A Gaussian process predicts each objective from the architectures that were evaluated. Its expectation under independent
gates is exact and differentiable (``GatedProcess``), so logits are moved by gradients as in DARTS (Liu et al. 2019) or
through the predictor of NAO (Luo et al. 2018), and their largest decide.

Axes: ``b`` descent, ``n`` point, ``m`` objective, ``d`` decision, ``o`` value of a decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

import torch
from torch import Tensor

from darts.blackbox.pareto.fronts import Outcome, front_of, outcome_from
from darts.blackbox.points import Decision, Decisions, Point
from darts.blackbox.strategies.strategy import LEAST, Key, Search, Strategy, draw_new, key_of
from darts.blackbox.surrogates import GatedProcess, normal_scores
from darts.config.ranges import require

DEVIATION = 0.5
"""Standard deviation of the logits at the start of a descent."""

NOISE, REDRAWS = 0.15, 200
"""Scale of the Gumbel noise at the second try to decide, growing from try to try; tries before a point is random."""


@dataclass(frozen=True)
class SurrogateDescent(Strategy):
    """Evaluate ``first`` random points; then ``batch`` after ``batch`` what descents of logits decide.

    A descent begins at random logits and takes ``steps`` steps of Adam with ``lr``, up the expectation of the first
    objective. Each other objective is held above a target by ``weight`` times its shortfall; each descent draws its
    targets within the range of the Pareto set, so that together they find the whole set (the epsilon-constraint method,
    Haimes et al. 1971), and so are limits. The largest logits decide, with Gumbel noise until the point is new. The
    processes learn from the ``known`` newest points and the Pareto set.
    """

    first: int = 20
    batch: int = 10
    steps: int = 120
    lr: float = 0.2
    weight: float = 10.0
    known: int = 500
    several_objectives: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, from_1=("batch", "steps"), from_2=("first", "known"), above_0=("lr", "weight"))

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: SurrogateDescent
    evaluated: list[tuple[Outcome, Point]] = field(default_factory=list)
    asked: set[Key] = field(default_factory=set)
    waiting: list[Mapping[str, Sequence[float]]] = field(default_factory=list)
    met: dict[str, Decision] = field(default_factory=dict)

    def ask(self, rng: Random) -> Point:
        if len(self.evaluated) >= self.options.first:
            if not self.waiting:
                self.waiting = self._descended(rng)
            if (point := self._decided(self.waiting.pop(0), rng)) is not None:
                self.asked.add(key_of(point))
                return point
        return draw_new(lambda: self.decisions.sample(rng), self.asked)

    def tell(self, point: Point, value: Outcome | float | None) -> None:
        """Note the outcome of a point, or its value where there is one objective; None where it failed."""
        self.asked.add(key_of(point))
        if value is None:
            return
        self.evaluated.append((outcome_from(value), point))
        made: Point = {}
        while (decision := self.decisions.following(made)) is not None:
            self.met[decision.name] = decision
            made[decision.name] = point[decision.name]

    def _descended(self, rng: Random) -> list[Mapping[str, Sequence[float]]]:
        """Return the logits of each decision at the end of a batch of descents; random where nothing is known."""
        options, met = self.options, list(self.met.values())
        front = set(front_of([outcome for outcome, _ in self.evaluated]))
        last = len(self.evaluated) - options.known
        known = [each for place, each in enumerate(self.evaluated) if place >= last or place in front]
        main, held = self._processes(known, [self.evaluated[place][0] for place in front], met, rng)
        width = max(len(decision.values) for decision in met)
        closed = torch.tensor([[place >= len(decision.values) for place in range(width)] for decision in met])
        generator = torch.Generator().manual_seed(rng.getrandbits(62))
        start = torch.randn(options.batch, *closed.shape, generator=generator, dtype=torch.float64)
        logits = (DEVIATION * start).requires_grad_()
        optimizer = torch.optim.Adam([logits], lr=options.lr)
        for _ in range(options.steps if main or held else 0):
            gates = logits.masked_fill(closed, -math.inf).softmax(-1)
            losses = [-process.expectation(gates).sum() for process in main]
            for process, targets in held:
                losses.append(options.weight * (targets - process.expectation(gates)).clamp_min(0).sum())
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
        ended = logits.detach().tolist()
        return [{decision.name: row for decision, row in zip(met, rows)} for rows in ended]

    def _processes(
        self, known: Sequence[tuple[Outcome, Point]], front: Sequence[Outcome], met: Sequence[Decision], rng: Random
    ) -> tuple[list[GatedProcess], list[tuple[GatedProcess, Tensor]]]:
        """Return the process of the first objective, and those of the others and of the limits with targets ``(b,)``.

        What fewer than two points are known of, as the accuracy where all are over a limit, has none.
        """
        main, held = [], []
        places = torch.tensor([[_place(decision, point) for decision in met] for _, point in known])  # (n, d)
        for objective in range(len(known[0][0].values)):
            values = torch.tensor([outcome.values[objective] for outcome, _ in known], dtype=torch.float64)
            finite = values.isfinite() & (values > LEAST)
            if finite.sum() < 2:
                continue
            values, scores = values[finite], normal_scores(values[finite])
            process = GatedProcess.fit(places[finite], scores)
            if objective == 0:
                main.append(process)
                continue
            reached = [outcome.values[objective] for outcome in front] or [float(values.max())]
            low, high = min(reached), max(reached)
            targets = [low + (high - low) * rng.random() for _ in range(self.options.batch)]
            held.append((process, _interpolated(values, scores, targets)))
        violations = torch.tensor([outcome.violation for outcome, _ in known], dtype=torch.float64)
        if violations.any():
            process = GatedProcess.fit(places, -violations / violations.std().clamp_min(1e-12))
            held.append((process, torch.zeros(self.options.batch, dtype=torch.float64)))
        return main, held

    def _decided(self, logits: Mapping[str, Sequence[float]], rng: Random) -> Point | None:
        """Return the point of the largest logits, with as much noise as makes it new; None where none is found."""
        for redraw in range(REDRAWS):
            point: Point = {}
            while (decision := self.decisions.following(point)) is not None:
                row = logits.get(decision.name, [0.0] * len(decision.values))
                noisy = [logit + NOISE * redraw * _gumbel(rng) for logit in row[: len(decision.values)]]
                point[decision.name] = decision.values[noisy.index(max(noisy))]
            if key_of(point) not in self.asked and self.decisions.permits(point):
                return point
        return None


def _place(decision: Decision, point: Point) -> int:
    chosen = point.get(decision.name)
    return decision.values.index(chosen) if chosen in decision.values else -1


def _gumbel(rng: Random) -> float:
    return -math.log(-math.log(rng.uniform(1e-12, 1 - 1e-12)))


def _interpolated(values: Tensor, scores: Tensor, targets: Sequence[float]) -> Tensor:
    """Return the scores of some values, ``(b,)``, linearly between those of the nearest known values."""
    order = values.argsort(stable=True)
    values, scores = values[order], scores[order]
    wanted = torch.tensor(targets, dtype=torch.float64)
    above = torch.searchsorted(values, wanted).clamp(1, len(values) - 1)
    low, high = values[above - 1], values[above]
    share = ((wanted - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
    return scores[above - 1] + share * (scores[above] - scores[above - 1])
