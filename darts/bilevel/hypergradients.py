"""Hypergradients: the gradient of the logits. One function for each, all of one signature.

The upper problem is the validation loss, the lower one the training loss; ``w`` are weights, ``a`` logits (Liu et al.
2019, equations 3 and 4). Each function differentiates with respect to what its formula needs and nothing else. Batches
are opaque: the problem knows what to do with them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from darts.bilevel.requirements import DOUBLE_BACKWARD, SGD_STEPS, Component, Requirements
from darts.config.ranges import require
from darts.training.cuda_graph import capturing

Params = Mapping[str, Tensor]
Batch = Any

AHEAD = {SGD_STEPS: "the step looks ahead by steps of SGD"}
"""What steps require that compute how the weights will move."""

RADIUS = 0.01
"""Length of the step of the finite difference (DARTS, footnote to equation 8)."""


@dataclass
class KeptGradients:
    """Gradients of the weights that come with the passes of a step anyway, kept for callbacks that compare them.

    Attributes:
        names: of the weights that are compared; nothing is kept while there are none.
        valid: weight name -> gradient of the validation loss at the current weights; empty where the step has taken
            none.
    """

    names: frozenset[str] = frozenset()
    valid: dict[str, Tensor] = field(default_factory=dict)


class Bilevel(Protocol):
    """A bilevel problem as pure functions of weights and logits.

    Attributes:
        redraws: whether passes that must draw the same random numbers have drawn any so far.
        kept: where a hypergradient leaves the gradients of the weights that it computes.
    """

    redraws: bool
    kept: KeptGradients

    @property
    def weights(self) -> Params:
        """Return the current weights by name."""

    @property
    def logits(self) -> Params:
        """Return the current logits by table."""

    @property
    def generator(self) -> torch.Generator | None:
        """Return what the gates are sampled from; None where nothing is sampled."""

    def lower(self, weights: Params, logits: Params, batch: Batch) -> Tensor:
        """Return the training loss, ``()``."""

    def upper(self, weights: Params, logits: Params, batch: Batch) -> Tensor:
        """Return the validation loss, ``()``."""

    def virtual_step(self, weights: Params, grads: Params) -> Params:
        """Return the weights after one step of their optimizer along ``grads``, without clipping."""

    @property
    def learning_rate(self) -> float:
        """Return the learning rate of the weights' optimizer at this step."""


Hypergradient = Callable[[Bilevel, Batch, Batch], dict[str, Tensor]]
"""(problem, training batch, validation batch) -> gradient of the logits."""


def first_order(problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
    """Return the gradient of the validation loss with the current weights, as if optimal (DARTS, section 2.3)."""
    weights = frozen(problem.weights)
    compared = {name: weights[name].requires_grad_() for name in sorted(problem.kept.names)}
    wanted = {**_keyed("a", problem.logits), **_keyed("w", compared)}
    grads = gradient(problem.upper(weights, problem.logits, valid), wanted)
    problem.kept.valid = {name: grads["w", name] for name in compared}
    return {name: grads["a", name] for name in problem.logits}


def unrolled(
    problem: Bilevel, train: Batch, valid: Batch, radius: float = RADIUS, clip: float | None = None
) -> dict[str, Tensor]:
    """Return the gradient one training step ahead, by central differences (DARTS, equations 7 and 8).

    With ``w' = w - eta (m + d)`` the weights after a virtual step and ``v`` the gradient of the validation loss
    there, the gradient is ``d_a L_val(w', a) - eta (d_a L_train(w + eps v, a) - d_a L_train(w - eps v, a)) / (2 eps)``,
    where ``eps = radius / norm(v)``.

    With ``clip``, the training gradient of the virtual step is clipped to that norm, by a factor that also multiplies
    the difference, and so is ``v`` (the authors' code for recurrent cells).
    """
    weights, logits = problem.weights, frozen(problem.logits)
    grads, kept = _clipped(gradient(problem.lower(weights, logits, train), weights), clip)
    ahead = problem.virtual_step(frozen(weights), grads)
    ahead = {name: w.requires_grad_() for name, w in ahead.items()}
    both = gradient(problem.upper(ahead, problem.logits, valid), {**_keyed("w", ahead), **_keyed("a", problem.logits)})
    direct = {name: both["a", name] for name in logits}
    cut, _ = _clipped({name: both["w", name] for name in weights}, clip)
    v = list(cut.values())
    eps = radius / torch.stack(torch._foreach_norm(v)).norm()
    still, sides = list(frozen(weights).values()), []
    for step in (eps, -eps):
        moved = dict(zip(weights, torch._foreach_add(still, torch._foreach_mul(v, step))))
        with same_draws(problem):
            sides.append(gradient(problem.lower(moved, problem.logits, train), problem.logits))
    plus, minus = sides
    eta = problem.learning_rate * kept
    return {name: g - eta * (plus[name] - minus[name]) / (2 * eps) for name, g in direct.items()}


@dataclass(frozen=True)
class UnrolledExact(Component):
    """The gradient of ``L_val(w'(a), a)`` by differentiating through the virtual step (DARTS, equation 7).

    It needs a network that can be differentiated twice: the ``reference`` backend. ``unrolled`` is tested against it.
    """

    def requirements(self) -> Requirements:
        return Requirements(requires={**AHEAD, DOUBLE_BACKWARD: "the step unrolled_exact differentiates twice"})

    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        weights, logits = problem.weights, problem.logits
        grads = gradient(problem.lower(weights, logits, train), weights, create_graph=True)
        ahead = problem.virtual_step(frozen(weights), grads)
        return gradient(problem.upper(ahead, logits, valid), logits)


class FiniteDifference(Component, ABC):
    """Base of hypergradients with central differences, whose error depends on the length of the step.

    A step too long crosses kinks of the loss (ReLU, pooling), one too short drowns in rounding. A search measures the
    error on the network at hand (``darts.bilevel.radius``).

    Attributes:
        radius: length of the finite difference's step, over all weights.
        choose: whether a shorter one is taken while the check finds that differences of this one are off.
    """

    radius: float = RADIUS
    choose: bool = True

    def requirements(self) -> Requirements:
        return Requirements(requires=AHEAD)

    @abstractmethod
    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        """Return the gradient of the logits."""

    @abstractmethod
    def at(self, radius: float) -> FiniteDifference:
        """Return the same hypergradient with another length of the step."""

    def without_differences(self) -> Hypergradient | None:
        """Return the same hypergradient by differentiating twice; None where there is none."""
        return None


@dataclass(frozen=True)
class Unrolled(FiniteDifference):
    """``unrolled`` as a component.

    Attributes:
        radius, choose: as in ``FiniteDifference``.
    """

    radius: float = RADIUS
    choose: bool = True

    def __post_init__(self) -> None:
        require(self, above_0=("radius",))

    def at(self, radius: float) -> Unrolled:
        return replace(self, radius=radius)

    def without_differences(self) -> Hypergradient:
        return UnrolledExact()

    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        return unrolled(problem, train, valid, radius=self.radius)


@dataclass(frozen=True)
class UnrolledClipped(FiniteDifference):
    """``unrolled`` for weights that take clipped steps (the authors' code for recurrent cells).

    Attributes:
        norm: the largest norm of a gradient over all weights.
        radius, choose: as in ``FiniteDifference``.
    """

    norm: float = 0.25
    radius: float = RADIUS
    choose: bool = True

    def __post_init__(self) -> None:
        require(self, above_0=("norm", "radius"))

    def at(self, radius: float) -> UnrolledClipped:
        return replace(self, radius=radius)

    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        return unrolled(problem, train, valid, radius=self.radius, clip=self.norm)


@contextmanager
def same_draws(problem: Bilevel) -> Iterator[None]:
    """Run consecutive blocks on the same random numbers: both sides of a difference must sample the same gates.

    While a step is captured as a CUDA graph, blocks that drew nothing before leave the generator alone.
    """
    generator = problem.generator
    if generator is None or (capturing() and not problem.redraws):
        yield
        return
    state = generator.get_state()
    yield
    if not torch.equal(generator.get_state(), state):
        problem.redraws = True
        generator.set_state(state)


def gradient(loss: Tensor, wrt: Mapping[Any, Tensor], create_graph: bool = False) -> dict[Any, Tensor]:
    """Return the gradient by name; 0 for what the loss does not depend on, as happens with gates of exactly 0."""
    if not loss.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in wrt.items()}
    grads = torch.autograd.grad(loss, list(wrt.values()), create_graph=create_graph, materialize_grads=True)
    return dict(zip(wrt, grads))


def _clipped(grads: Params, norm: float | None) -> tuple[Params, Tensor | float]:
    """Return gradients clipped to a norm, and the factor by which they were multiplied."""
    if norm is None:
        return grads, 1.0
    factor = (norm / torch.stack(torch._foreach_norm(list(grads.values()))).norm()).clamp(max=1.0)
    return dict(zip(grads, torch._foreach_mul(list(grads.values()), factor))), factor


def frozen(params: Params) -> dict[str, Tensor]:
    """Return the same tensors, detached from the graph."""
    return {name: p.detach() for name, p in params.items()}


def _keyed(tag: str, params: Params) -> dict[tuple[str, str], Tensor]:
    return {(tag, name): p for name, p in params.items()}
