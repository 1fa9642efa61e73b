"""The expected cost of the derived network as a penalty for any relaxation: parameters, multiply-adds, memory, latency.

The expectation is that of ``supernet.cost.additive.Expectation`` under the expected gates. Forms, with the cost ``C``
and the target (or, without one, the cost under equal gates) ``T``:

    hinge    w max(0, C / T - 1)
    linear   w C / T                  ProxylessNAS (Cai et al. 2019, equation 4)
    log      w log(C / T)             after FBNet (Wu et al. 2019, equation 2)

Axes: ``e`` edge, ``o`` candidate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from darts.bilevel.hypergradients import Params
from darts.bilevel.penalties import PenaltyComponent
from darts.bilevel.problem import SearchProblem
from darts.config.ranges import choose, require
from darts.errors import UserError
from supernet.choice import Gates, Picks
from supernet.cost.additive import Expectation
from supernet.cost.architecture import COSTS
from supernet.cost.limits import quantity
from supernet.cost.space_costs import SpaceCost

FORMS = ("auto", "hinge", "linear", "log")


@dataclass(frozen=True)
class ExpectedCost(PenaltyComponent):
    """The expected cost of the derived network.

    Attributes:
        cost: a row of ``supernet.cost.architecture.COSTS``.
        weight: of the penalty.
        target: such as ``5ms`` or ``1.5M``; needed by the form ``hinge``.
        form: one of ``FORMS``; ``auto`` is ``hinge`` with a target, else ``linear``.
        file: table of measured latencies, for ``latency``.
        batch: examples of a forward pass, for ``memory``.
    """

    cost: str = "multiply_adds"
    weight: float = 1.0
    target: str = ""
    form: str = "auto"
    file: str = ""
    batch: int = 1
    _known: WeakKeyDictionary[nn.Module, tuple[SpaceCost, Expectation, float]] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        choose(self, cost=tuple(COSTS), form=FORMS)
        require(self, above_0=("weight",), from_1=("batch",))
        if self.target:
            quantity(self.cost, self.target)
        if self.form == "hinge" and not self.target:
            raise ValueError("the form hinge needs a target, such as target=5ms")
        if self.file and self.cost != "latency":
            raise ValueError("file is a table of latencies, which the cost latency alone reads")

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        share = self.expected(problem, logits) / self._of(problem)[2]
        if self.form == "hinge" or (self.form == "auto" and self.target):
            return self.weight * (share - 1).clamp_min(0)
        return self.weight * (share.clamp_min(1e-12).log() if self.form == "log" else share)

    def expected(self, problem: SearchProblem, logits: Params) -> Tensor:
        """Return the expected cost, ``()``, in the unit of ``COSTS``."""
        return self._of(problem)[1](problem.expected_gates(logits))

    def prepare(self, problem: SearchProblem) -> None:
        """Count or read the costs of the candidates, before the first step.

        Raises:
            UserError: where the cost cannot be counted, or no choice changes it.
            SpaceError: where the table of latencies is none, or of another space.
        """
        self._of(problem)

    def figures(self, problem: SearchProblem, picks: Picks) -> dict[str, float]:
        """Return what is logged of an epoch: the expected cost under the logits, and that of the derived network."""
        with torch.no_grad():
            expected = self.expected(problem, problem.logits).item()
        return {f"expected_{self.cost}": expected, f"derived_{self.cost}": self._of(problem)[0].of(picks)}

    def _of(self, problem: SearchProblem) -> tuple[SpaceCost, Expectation, float]:
        """Return the cost, its expectation, and what it is divided by; counted once for a supernet.

        Raises:
            UserError: where the cost cannot be counted, or no choice changes it.
        """
        if problem.supernet not in self._known:
            field_name = f"`method.penalties` {self.cost}"
            assert problem.costs is not None, "a search counts costs"
            if self.cost == "latency" and not self.file:
                raise UserError(f"{field_name} needs a table of measurements: latency:file=latency.json")
            cost = problem.costs.cost(self.cost, self.batch, Path(self.file) if self.file else None)
            if cost.total.constant:
                raise UserError(f"{field_name}: every architecture of this space has the same; leave it out")
            like = problem.logits[problem.tables[0].label].detach()
            expectation = Expectation(cost.total, problem.tables, like)
            equal = {t.label: t.mask_on(like.device).to(like.dtype) for t in problem.tables}
            target = quantity(self.cost, self.target) if self.target else expectation(equal).item()
            self._known[problem.supernet] = cost, expectation, target
        return self._known[problem.supernet]
