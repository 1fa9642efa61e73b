"""The length of the step of central differences, chosen by their error.

Between the two points of a difference lie kinks of the loss, where a ReLU or a max pooling switches. In a small network
they may be nearer than the step, and the difference then measures something else than a second derivative. A much
shorter step, with no kink in between, is right until it drowns in rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.hypergradients import Batch, Bilevel, FiniteDifference, Hypergradient, first_order

AGREES = 0.1
"""Error of a difference that agrees, relative to what the hypergradient adds to the first order."""

FACTORS = (1.0, 1e-3, 1e-4, 1e-2, 1e-1)
"""Factors of a radius in the order in which they are tried. A radius with few kinks within it may be worse than a
longer one, whose kinks cancel; a thousandth of DARTS's radius mostly has none."""


@dataclass(frozen=True)
class ChosenRadius:
    """A radius and the error of differences with it.

    Attributes:
        radius: the first that was tried whose differences agree, or else the one of the least error.
        error: relative to what the hypergradient adds to the first order: near 0 where differences agree, 1 or more
            where they are noise.
    """

    radius: float
    error: float


def choose_radius(
    step: FiniteDifference, problem: Bilevel, train: Batch, valid: Batch, exact: Hypergradient | None = None
) -> ChosenRadius:
    """Return the first of the step's radius and shorter ones for which its differences agree.

    All hypergradients begin with the same state of the generator, which is left as it was.

    Args:
        step: the hypergradient; where it does not choose, its own radius is judged alone.
        problem: whose weights and logits are taken as they are.
        train, valid: the batches.
        exact: the hypergradient that differences are compared with. Without it, or where gates are sampled, which it
            does as often as it passes through the network, the difference of a tenth of the radius:
            ``|g(r) - g(r / 10)| / |g(r / 10) - g_1|`` with the first order ``g_1``.
    """
    first, sampled = _same_draws(first_order, problem, train, valid)
    whole = None if exact is None or sampled else _same_draws(exact, problem, train, valid)[0]
    found = list[ChosenRadius]()
    for factor in FACTORS if step.choose else FACTORS[:1]:
        radius = step.radius * factor
        estimate, _ = _same_draws(step.at(radius), problem, train, valid)
        right = _same_draws(step.at(radius / 10), problem, train, valid)[0] if whole is None else whole
        added = (right - first).norm().clamp_min(torch.finfo(right.dtype).tiny)
        found.append(ChosenRadius(radius, ((estimate - right).norm() / added).item()))
        if found[-1].error <= AGREES:
            break
    return min(found, key=lambda chosen: (chosen.error > AGREES, chosen.error))


def _same_draws(hypergradient: Hypergradient, problem: Bilevel, train: Batch, valid: Batch) -> tuple[Tensor, bool]:
    """Return all entries of a hypergradient, and whether it has drawn; the generator is left as it was."""
    generator = problem.generator
    state = None if generator is None else generator.get_state()
    grads = hypergradient(problem, train, valid)
    drawn = generator is not None and state is not None and not torch.equal(generator.get_state(), state)
    if drawn and generator is not None and state is not None:
        generator.set_state(state)
    return torch.cat([grad.detach().flatten() for grad in grads.values()]), drawn
