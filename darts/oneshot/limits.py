"""Limits on the costs of what a search derives: the method's own choice where it is within them, else the most probable
architecture that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from darts.bilevel.penalties import penalty_figures
from darts.bilevel.problem import SearchProblem
from darts.config import SearchConfig
from darts.errors import UserError
from supernet.choice import ChoiceTable, Picks
from supernet.cost.limits import parse_limits
from supernet.cost.space_costs import SpaceCost


@dataclass(frozen=True)
class Limits:
    """The limits of a search, for the space of one stage.

    Attributes:
        values: cost -> its largest value.
        costs: cost -> as a function of the architectures of the space.
        tables: of the space.
    """

    values: Mapping[str, float]
    costs: Mapping[str, SpaceCost]
    tables: Sequence[ChoiceTable]

    def derive(self, picks: Picks, scores: Mapping[str, Tensor]) -> Picks:
        """Return picks within the limits.

        Args:
            picks: of the method's discretization; returned where they are within the limits.
            scores: table label -> edge scores, ``(e, o)``.

        Raises:
            SpaceError: where no architecture is within the limits.
        """
        if all(self.costs[name].of(picks) <= limit for name, limit in self.values.items()):
            return picks
        return self.best({table.label: scores[table.label].detach().cpu() for table in self.tables})

    def best(self, scores: Mapping[str, Tensor]) -> Picks:
        """Return the most probable architecture within the limits.

        Raises:
            SpaceError: where there is none.
        """
        from supernet.cost.within import best_within  # imports SciPy's solver, which no other search needs

        return best_within(self.tables, scores, self.values, self.costs)


def limits_of(config: SearchConfig, problem: SearchProblem) -> Limits | None:
    """Return the limits of a configuration for the stage at work; None where there are none.

    Raises:
        UserError: where latency has no table.
        SpaceError: where the limits cannot be read, or no architecture is within them.
    """
    if not config.limits:
        return None
    values = parse_limits(config.limits)
    assert problem.costs is not None, "a search counts costs"
    table = config.deployment.latencies
    if "latency" in values and table is None:
        raise UserError("`limits` of latency need `deployment.latencies`: a table of python -m supernet.cost.latency")
    costs = {name: problem.costs.cost(name, config.deployment.batch, table) for name in values}
    limits = Limits(values, costs, problem.tables)
    limits.best(problem.edge_scores())  # refuses limits that no architecture keeps
    return limits


def cost_figures(limits: Limits | None, problem: SearchProblem, picks: Picks) -> dict[str, float]:
    """Return what a search logs of costs: those of the derived network that are limited or penalized, and the expected
    costs that are penalized."""
    found = {f"derived_{name}": cost.of(picks) for name, cost in limits.costs.items()} if limits else {}
    return found | penalty_figures(problem, picks)
