"""iDARTS: implicit differentiation with a Neumann series (Zhang et al. 2021).

After several steps of the weights, the logits' gradient is ``d_a L_val - eta d2_aw L_train sum_{k=0}^{K}
(1 - eta d2_w L_train)^k d_w L_val`` at the current weights (equation 14). Products with second derivatives are central
differences, as in DARTS. One term, ``K = 0``, is a one-step unrolling; no term is first order. The logits are updated
every five steps of the weights; in the authors' code every six, as its five steps come on top (``method.every`` 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from darts.bilevel.hypergradients import (
    AHEAD,
    RADIUS,
    Batch,
    Bilevel,
    FiniteDifference,
    Params,
    frozen,
    gradient,
    same_draws,
)
from darts.bilevel.requirements import DOUBLE_BACKWARD, Requirements
from darts.config.ranges import require
from darts.methods.method import Method


@dataclass(frozen=True)
class Neumann(FiniteDifference):
    """The truncated Neumann series.

    Attributes:
        terms: ``K + 1``.
        radius, choose: as in ``FiniteDifference``.
        exact: whether products with second derivatives are taken by differentiating twice, which needs the
            ``reference`` backend, instead of central differences. On a small trained network differences of radius 0.01
            may be off by about their own size, as kinks of the loss are nearer than that.
        diagonal: whether a vector stands in for the Hessian and multiplies entry by entry, as in the authors' code: the
            gradient of the norm of the training loss's gradient.
    """

    terms: int = 3
    radius: float = RADIUS
    choose: bool = True
    diagonal: bool = False
    exact: bool = False

    def __post_init__(self) -> None:
        require(self, from_0=("terms",), above_0=("radius",))

    def requirements(self) -> Requirements:
        exact = {DOUBLE_BACKWARD: "neumann:exact=true differentiates twice"} if self.exact else {}
        return Requirements(requires={**AHEAD, **exact})

    def at(self, radius: float) -> Neumann:
        return replace(self, radius=radius)

    def without_differences(self) -> Neumann:
        return replace(self, exact=True) if self.terms else self

    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        weights = {name: w.detach().requires_grad_() for name, w in problem.weights.items()}
        wanted = {("a", name): logit for name, logit in problem.logits.items()}
        wanted |= {("w", name): w for name, w in weights.items()} if self.terms else {}
        both = gradient(problem.upper(weights, problem.logits, valid), wanted)
        direct = {name: both["a", name] for name in problem.logits}
        if not self.terms:
            return direct
        eta = problem.learning_rate
        term = {name: both["w", name] for name in weights}
        series = dict(term)
        logits = frozen(problem.logits)

        def slope(w: Params) -> dict[str, Tensor]:
            return gradient(problem.lower(w, logits, train), w, create_graph=self.exact)

        if self.diagonal and self.terms > 1:
            with same_draws(problem):
                steepest = slope(weights)
            length = torch.stack(torch._foreach_norm(list(steepest.values()))).norm().clamp_min(1e-12)
            unit = {name: g.detach() / length.detach() for name, g in steepest.items()}
            stand_in = self._hessian_times(problem, unit, slope, weights)
        for _ in range(self.terms - 1):
            if self.diagonal:
                curved = {name: stand_in[name] * v for name, v in term.items()}
            else:
                curved = self._hessian_times(problem, term, slope, weights)
            term = {name: v - eta * curved[name] for name, v in term.items()}
            series = {name: total + term[name] for name, total in series.items()}
        if self.exact:
            with same_draws(problem):
                grads = gradient(problem.lower(weights, problem.logits, train), weights, create_graph=True)
            mixed = gradient(_dot(grads, series), problem.logits)
        else:
            mixed = self._along(
                problem,
                series,
                lambda w: gradient(problem.lower(w, problem.logits, train), problem.logits),
                frozen(weights),
            )
        return {name: g - eta * mixed[name] for name, g in direct.items()}

    def _hessian_times(
        self, problem: Bilevel, v: Params, slope: Callable[[Params], dict[str, Tensor]], weights: Params
    ) -> dict[str, Tensor]:
        """Return the product of the training loss's Hessian with ``v``; ``slope`` is its gradient by the weights."""
        if not self.exact:
            return self._along(problem, v, slope, weights)
        with same_draws(problem):
            return gradient(_dot(slope(weights), v), weights)

    def _along(
        self, problem: Bilevel, v: Params, grads: Callable[[Params], dict[str, Tensor]], weights: Params
    ) -> dict[str, Tensor]:
        """Return the derivative along ``v`` of a gradient that is a function of the weights."""
        eps = self.radius / torch.cat([part.flatten() for part in v.values()]).norm().clamp_min(1e-12)
        sides = []
        for step in (eps, -eps):
            there = {name: (w.detach() + step * v[name]).requires_grad_(w.requires_grad) for name, w in weights.items()}
            with same_draws(problem):
                sides.append(grads(there))
        plus, minus = sides
        return {name: (plus[name] - minus[name]) / (2 * eps) for name in plus}


def _dot(first: Params, second: Params) -> Tensor:
    return torch.stack([(first[name] * second[name]).sum() for name in first]).sum()


METHOD = Method(step=Neumann(), every=5)
