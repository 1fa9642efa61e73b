"""Limits on the costs of what a search derives: the method's own choice where it is within them, else the most probable
architecture that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from darts.bilevel.expected_cost import ExpectedCost
from darts.bilevel.problem import SearchProblem
from darts.config import SearchConfig
from darts.errors import UserError
from supernet.choice import Picks
from supernet.cost.additive import AdditiveCost, additive_cost
from supernet.cost.architecture import COSTS, Deployment
from supernet.cost.latency_table import read_table
from supernet.cost.limits import parse_limits
from supernet.spaces.space import SearchSpace


@dataclass(frozen=True)
class Limits:
    """The limits of a search, for the space of one stage.

    Attributes:
        values: cost -> its largest value.
        costs: cost -> the sum that it is.
        space: at the size of the networks whose costs count.
        deployment: of these networks.
    """

    values: Mapping[str, float]
    costs: Mapping[str, AdditiveCost]
    space: SearchSpace
    deployment: Deployment

    def derive(self, picks: Picks, scores: Mapping[str, Tensor]) -> Picks:
        """Return picks within the limits.

        Args:
            picks: of the method's discretization; returned where they are within the limits.
            scores: table label -> edge scores, ``(e, o)``.

        Raises:
            SpaceError: where no architecture is within the limits.
        """
        if all(self.cost(name, picks) <= limit for name, limit in self.values.items()):
            return picks
        return self.best({table.label: scores[table.label].detach().cpu() for table in self.space.tables})

    def best(self, scores: Mapping[str, Tensor]) -> Picks:
        """Return the most probable architecture within the limits.

        Raises:
            SpaceError: where there is none.
        """
        from supernet.cost.within import best_within  # imports SciPy's solver, which no other search needs

        return best_within(self.space.tables, scores, self.values, self.costs, partial(self.cost, "memory"))

    def cost(self, name: str, picks: Picks) -> float:
        """Return a cost of the network of these picks."""
        if name == "memory":
            return COSTS[name].of(self.space, self.space.derive(picks), self.deployment)
        return self.costs[name].of(picks)


def limits_of(config: SearchConfig, problem: SearchProblem) -> Limits | None:
    """Return the limits of a configuration for the stage at work; None where there are none.

    Raises:
        UserError: where costs cannot be counted on such examples.
        SpaceError: where the limits cannot be read, latency has no table, or no architecture is within the limits.
    """
    if not config.limits:
        return None
    values = parse_limits(config.limits)
    if problem.deployed is None:
        raise UserError("`limits`: costs are counted for images, sentences and running text only; leave it out")
    space, shape = problem.deployed
    table = config.deployment.latencies
    if "latency" in values and table is None:
        raise UserError("`limits` of latency need `deployment.latencies`: a table of python -m supernet.cost.latency")
    latency = read_table(table).cost(space, shape) if "latency" in values and table else None
    deployment = Deployment(shape, config.deployment.batch, latency)
    costs = {name: additive_cost(space, name, deployment) for name in values}
    limits = Limits(values, costs, space, deployment)
    limits.best(problem.edge_scores())  # refuses limits that no architecture keeps
    return limits


def cost_figures(limits: Limits | None, problem: SearchProblem, picks: Picks) -> dict[str, float]:
    """Return what a search logs of costs: those of the derived network that are limited or penalized, and the expected
    costs that are penalized."""
    found = {f"derived_{name}": limits.cost(name, picks) for name in limits.values} if limits else {}
    for penalty in problem.penalties:
        if isinstance(penalty, ExpectedCost):
            found |= penalty.figures(problem, picks)
    return found
