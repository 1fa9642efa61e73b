"""ENAS's controller: an LSTM that samples an architecture decision by decision (Pham et al. 2018, section 2).

Each decision, a source or an operation, is drawn given all that were drawn before it; so the controller serves any
space, also one with decisions that take part only after others. It learns by REINFORCE: Adam ascends the mean over
``samples`` architectures of ``(value - baseline) log p``, plus the bonus on the entropy of the drawn decisions. The
baseline is a moving average of the values, which takes each value in before the advantage is computed.

With an evaluator of shared weights, weights and controller are trained in turn, and the search draws from the trained
controller: its best architecture is the answer. With others, the controller learns from the trials.

All that a controller knows is in its ``state``, a mapping of tensors and plain values that a checkpoint can hold.

Axes: ``k`` value of a decision, ``u`` unit of the LSTM.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor

from darts.blackbox.points import Decision, Decisions, Point, permitted
from darts.blackbox.strategies.strategy import LEAST, MAX_DRAWS, Key, Search, Strategy, draw_new
from darts.config.ranges import choose, require

INITIAL = 0.1
"""Bound of the uniform distribution of initial weights."""


@dataclass(frozen=True)
class ENAS(Strategy):
    """Sample by an LSTM that is trained by policy gradient.

    ``units``: of the LSTM; ``lr``: Adam's learning rate; ``decay``: of the baseline; ``entropy``: weight of the bonus,
    added to the objective (``bonus`` loss) or to each value (reward); ``samples``: architectures of a step;
    ``updates``: steps after each epoch of the shared weights; ``temperature``, ``bound``: logits are ``bound *
    tanh(logits / temperature)``.
    """

    units: int = 32
    lr: float = 0.005
    decay: float = 0.99
    entropy: float = 1e-4
    bonus: str = "loss"
    samples: int = 10
    updates: int = 30
    temperature: float = 5.0
    bound: float = 2.5

    def __post_init__(self) -> None:
        require(self, from_1=("units", "samples", "updates"), above_0=("lr", "temperature", "bound"))
        require(self, below_1=("decay",), from_0=("entropy",))
        choose(self, bonus=("loss", "reward"))

    def start(self, decisions: Decisions) -> Controller:
        """Begin a search."""
        return Controller(decisions, self)


@dataclass
class Controller(Search):
    """A controller at work.

    Attributes:
        decisions: of the space.
        options: of the strategy.
        state: weights, Adam's moments, the baseline, and the samples of the step that is not complete yet.
    """

    decisions: Decisions
    options: ENAS
    state: dict[str, Any] = field(default_factory=dict)

    def ask(self, rng: Random) -> Point:
        self.state.setdefault("seed", rng.getrandbits(62))
        return permitted(self.decisions, lambda: self._drawn(rng))

    def _drawn(self, rng: Random) -> Point:
        point: Point = {}

        def draw(decision: Decision, log_shares: Tensor) -> str:
            (value,) = rng.choices(decision.values, log_shares.exp().tolist())
            point[decision.name] = value
            return value

        with torch.no_grad():
            self._follow(draw)
        return point

    def tell(self, point: Point, value: float | None) -> None:
        if value is None or value < LEAST:
            return
        options, state = self.options, self.state
        state.setdefault("seed", 0)
        if options.bonus == "reward":
            with torch.no_grad():
                value += options.entropy * float(self._likelihood(point)[1])
        before = state.get("baseline", value)
        state["baseline"] = options.decay * before + (1 - options.decay) * value
        pending = state.setdefault("pending", [])
        pending.append([dict(point), value - state["baseline"]])
        if len(pending) >= options.samples:
            self._ascend(pending)
            state["pending"] = []

    def _ascend(self, samples: list[list[Any]]) -> None:
        """Take one step of Adam on the mean of some samples ``[point, advantage]``."""
        weights = self.state.setdefault("weights", {})
        for weight in weights.values():
            weight.requires_grad_()
        objective = torch.zeros((), dtype=torch.float64)
        for point, advantage in samples:
            log_likelihood, entropy = self._likelihood(point)
            objective = objective + advantage * log_likelihood
            if self.options.bonus == "loss":
                objective = objective + self.options.entropy * entropy
        names = list(weights)
        grads = torch.autograd.grad(-objective / len(samples), [weights[name] for name in names], allow_unused=True)
        with torch.no_grad():
            for name, grad in zip(names, grads):
                weights[name].requires_grad_(False)
                if grad is not None:
                    self._adam(name, grad)

    def _adam(self, name: str, grad: Tensor) -> None:
        """One step of Adam (Kingma and Ba 2015) with PyTorch's defaults; each tensor counts its own steps."""
        weight = self.state["weights"][name]
        zeros = {"first": torch.zeros_like(weight), "second": torch.zeros_like(weight), "steps": 0}
        moments = self.state.setdefault("moments", {}).setdefault(name, zeros)
        moments["steps"] += 1
        moments["first"].lerp_(grad, 0.1)
        moments["second"].lerp_(grad.square(), 0.001)
        mean = moments["first"] / (1 - 0.9 ** moments["steps"])
        square = moments["second"] / (1 - 0.999 ** moments["steps"])
        weight.sub_(self.options.lr * mean / (square.sqrt() + 1e-8))

    def _likelihood(self, point: Point) -> tuple[Tensor, Tensor]:
        """Return the logarithm of a point's probability, and the sum of the entropies of its decisions, ``()`` each."""
        terms: list[Tensor] = []
        entropies: list[Tensor] = []

        def recall(decision: Decision, log_shares: Tensor) -> str:
            value = point[decision.name]
            terms.append(log_shares[decision.values.index(value)])
            entropies.append(-(log_shares.exp() * log_shares).sum())
            return value

        self._follow(recall)
        return torch.stack(terms).sum(), torch.stack(entropies).sum()

    def _follow(self, decide: Callable[[Decision, Tensor], str]) -> None:
        """Make all decisions in turn.

        Args:
            decide: (decision, log-probabilities of its values ``(k,)``) -> the value that is chosen.
        """
        units = self.options.units
        made: Point = {}
        hidden = memory = torch.zeros(units, dtype=torch.float64)
        inputs = self._weight("start", units)
        while (decision := self.decisions.following(made)) is not None:
            hidden, memory = self._lstm(inputs, hidden, memory)
            values, size = " ".join(decision.values), (len(decision.values), units)
            logits = self._weight(f"out {values}", *size) @ hidden
            logits = self.options.bound * torch.tanh(logits / self.options.temperature)
            value = decide(decision, logits.log_softmax(0))
            made[decision.name] = value
            inputs = self._weight(f"in {values}", *size)[decision.values.index(value)]

    def _lstm(self, inputs: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        units = self.options.units
        sums = self._weight("lstm", 4 * units, 2 * units) @ torch.cat([inputs, hidden]) + self._weight(
            "bias", 4 * units
        )
        entering, forgetting, leaving, new = sums.chunk(4)
        memory = forgetting.sigmoid() * memory + entering.sigmoid() * new.tanh()
        return leaving.sigmoid() * memory.tanh(), memory

    def _weight(self, name: str, *shape: int) -> Tensor:
        """Return a weight; a new one depends on the seed and its name alone, not on when it is first needed."""
        weights = self.state.setdefault("weights", {})
        if name not in weights:
            seed = (self.state["seed"] + zlib.crc32(name.encode())) % 2**62
            generator = torch.Generator().manual_seed(seed)
            weights[name] = torch.empty(shape, dtype=torch.float64).uniform_(-INITIAL, INITIAL, generator=generator)
        return weights[name]


@dataclass(frozen=True)
class TrainedController(Strategy):
    """Draws from a controller that does not learn any more, without repeats as far as they can be avoided.

    ``options``, ``state``: of the controller.
    """

    options: ENAS
    state: dict[str, Any]

    def start(self, decisions: Decisions) -> Search:
        """Begin to draw."""
        return _Draws(Controller(decisions, self.options, self.state))


@dataclass
class _Draws(Search):
    controller: Controller
    asked: set[Key] = field(default_factory=set)

    def ask(self, rng: Random) -> Point:
        return draw_new(partial(self.controller.ask, rng), self.asked, math.isqrt(MAX_DRAWS))

    def tell(self, point: Point, value: float | None) -> None:
        pass
