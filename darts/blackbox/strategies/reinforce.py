"""REINFORCE: a policy gradient over independent decisions (Williams 1992; Zoph and Le 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from darts.blackbox.points import Decisions, Point, permitted
from darts.blackbox.strategies.strategy import LEAST, Search, Strategy
from darts.config.ranges import require


@dataclass(frozen=True)
class Reinforce(Strategy):
    """An independent softmax for each decision, moved by Adam.

    ``lr``: Adam's learning rate. The baseline is a moving average of the rewards with decay ``decay``, corrected for
    its start at 0, and takes each reward in before the advantage is computed, as in the code of NAS-Bench-201 (Dong
    and Yang 2020). A reward is ``scale`` times the value.
    """

    lr: float = 0.01
    decay: float = 0.9
    scale: float = 100.0

    def __post_init__(self) -> None:
        require(self, above_0=("lr", "scale"), below_1=("decay",))

    def start(self, decisions: Decisions) -> _Search:
        """Begin a search."""
        return _Search(decisions, self)


@dataclass
class _Search(Search):
    decisions: Decisions
    options: Reinforce
    logits: dict[str, list[float]] = field(default_factory=dict)
    moments: dict[str, _Moments] = field(default_factory=dict)
    steps: int = 0
    baseline: float = 0.0

    def ask(self, rng: Random) -> Point:
        return permitted(self.decisions, lambda: self._drawn(rng))

    def _drawn(self, rng: Random) -> Point:
        point: Point = {}
        while (decision := self.decisions.following(point)) is not None:
            weights = _softmax(self.logits.setdefault(decision.name, [0.0] * len(decision.values)))
            (point[decision.name],) = rng.choices(decision.values, weights)
        return point

    def tell(self, point: Point, value: float | None) -> None:
        if value is None or value < LEAST:
            return
        self.steps += 1
        reward = self.options.scale * value
        self.baseline = self.options.decay * self.baseline + (1 - self.options.decay) * reward
        advantage = reward - self.baseline / (1 - self.options.decay**self.steps)
        made: Point = {}
        while (decision := self.decisions.following(made)) is not None:
            chosen = point[decision.name]
            logits = self.logits.setdefault(decision.name, [0.0] * len(decision.values))
            shares = _softmax(logits)
            grads = [advantage * (share - (name == chosen)) for name, share in zip(decision.values, shares)]
            self._adam(decision.name, logits, grads)
            made[decision.name] = chosen

    def _adam(self, name: str, logits: list[float], grads: list[float]) -> None:
        """One step of Adam (Kingma and Ba 2015) with PyTorch's defaults; each decision counts its own steps."""
        moments = self.moments.setdefault(name, _Moments([0.0] * len(logits), [0.0] * len(logits)))
        moments.steps += 1
        for index, grad in enumerate(grads):
            moments.first[index] += 0.1 * (grad - moments.first[index])
            moments.second[index] += 0.001 * (grad * grad - moments.second[index])
            mean = moments.first[index] / (1 - 0.9**moments.steps)
            square = moments.second[index] / (1 - 0.999**moments.steps)
            logits[index] -= self.options.lr * mean / (math.sqrt(square) + 1e-8)


@dataclass
class _Moments:
    first: list[float]
    second: list[float]
    steps: int = 0


def _softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]
