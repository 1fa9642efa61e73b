"""Penalties: their protocol, and the cost of what is sampled or mixed, for any relaxation.

Penalties that belong to one method stand in its file under ``darts.methods``. Axis letters: ``e`` edges, ``o``
candidates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from darts.bilevel.hypergradients import Params
from darts.bilevel.problem import SearchProblem
from darts.bilevel.requirements import OPERATIONS, Component, Requirements
from darts.config.ranges import choose
from supernet.choice import Gates, Picks
from supernet.cost.architecture import COSTS

ESTIMATES = ("reparametrization", "expectation", "policy_gradient")
"""How the cost's gradient reaches the logits: through the gates; through the expected gates; by the gates' density."""

COUNTED = tuple(name for name, cost in COSTS.items() if cost.counts is not None)
"""The costs that are counted, without a table of measurements."""


class PenaltyComponent(Component, ABC):
    """Base of penalties that prepare themselves or log figures; any function of the same signature is a penalty."""

    @abstractmethod
    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        """Return the penalty, ``()``."""

    def prepare(self, problem: SearchProblem) -> None:
        """Count or read what the penalty needs, before the first step; raise where that is not there."""
        return None

    def figures(self, problem: SearchProblem, picks: Picks) -> Mapping[str, float]:
        """Return what is logged of an epoch, whose derived network is given by its picks."""
        return {}


def prepare_penalties(problem: SearchProblem) -> None:
    """Let the penalties of a problem count or read what they need."""
    for penalty in problem.penalties:
        if isinstance(penalty, PenaltyComponent):
            penalty.prepare(problem)


def penalty_figures(problem: SearchProblem, picks: Picks) -> dict[str, float]:
    """Return what the penalties of a problem log of an epoch, whose derived network is given by its picks."""
    found: dict[str, float] = {}
    for penalty in problem.penalties:
        if isinstance(penalty, PenaltyComponent):
            found |= penalty.figures(problem, picks)
    return found


@dataclass(frozen=True)
class Resource(PenaltyComponent):
    """The cost of what is sampled, as a share of all candidates' together (SNAS, Xie et al. 2019, section 2.3).

    Attributes:
        weight: of the penalty.
        cost: a row of ``supernet.cost.architecture.COSTS``.
        estimate: one of ``ESTIMATES``; the third needs a relaxation that provides ``density``.
        log: whether the cost's logarithm is taken, an option of the authors' code.
    """

    weight: float = 0.1
    cost: str = "parameters"
    estimate: str = "reparametrization"
    log: bool = False
    _shares: WeakKeyDictionary[nn.Module, dict[str, Tensor]] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        choose(self, cost=COUNTED, estimate=ESTIMATES)

    def requirements(self) -> Requirements:
        requires = {OPERATIONS: "the costs of candidates need operations between states"}
        if self.estimate == "policy_gradient":
            requires["density"] = "policy_gradient needs samples of a known density"
        return Requirements(requires=requires)

    def __call__(self, problem: SearchProblem, logits: Params, gates: Gates) -> Tensor:
        shares = self.shares_of(problem)
        if self.estimate == "expectation":
            gates = problem.expected_gates(logits)
        rows = {label: (gates[label] * share.to(gates[label].dtype)).sum(1) for label, share in shares.items()}
        if self.estimate == "policy_gradient":
            return self.weight * self._scored(problem, logits, gates, rows)
        return self.weight * self._scaled(_total(rows))

    def shares_of(self, problem: SearchProblem) -> dict[str, Tensor]:
        """Return each candidate's cost over the sum of all, ``(e, o)`` for each table; counted once for a supernet."""
        if problem.supernet not in self._shares:
            assert problem.costs is not None, "a search counts costs"
            costs = problem.costs.cost(self.cost).total.of_candidates(problem.tables)
            total = sum(cost.sum() for cost in costs.values())
            self._shares[problem.supernet] = {
                t.label: (costs[t.label] / total).to(problem.logits[t.label]) for t in problem.tables
            }
        return self._shares[problem.supernet]

    def _scored(self, problem: SearchProblem, logits: Params, gates: Gates, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the cost itself, with the gradient of the densities times the cost that the sample had."""
        densities = {}
        for table in problem.tables:
            label = table.label
            density = problem.relax.log_density(gates[label], logits[label], table, problem.progress)
            assert density is not None, "the penalty requires a density"
            densities[label] = density
        costs = {label: row.detach() for label, row in rows.items()}
        cost = self._scaled(_total(costs))
        if self.log:
            return cost * _one(_total(densities))
        return _total({label: costs[label] * _one(densities[label]) for label in costs})

    def _scaled(self, share: Tensor) -> Tensor:
        return share.clamp_min(torch.finfo(share.dtype).tiny).log() if self.log else share


def _one(density: Tensor) -> Tensor:
    """Return 1, with the gradient of a logarithm of a density."""
    return 1 + density - density.detach()


def _total(rows: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of all entries of all tensors, ``()``."""
    first, *others = (row.sum() for row in rows.values())
    return sum(others, start=first)
