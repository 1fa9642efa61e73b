"""Objectives and limits of a search: the figures that it maximizes or minimizes, and the costs that it may not exceed.

Costs are counted before training: an architecture over a limit is recorded with its costs and not trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial

from darts.benchmarks.protocol import Benchmark, Score
from darts.blackbox.pareto.fronts import Outcome, Values, larger_better
from darts.blackbox.records import CONSTRAINTS, first_result
from darts.config import RetrainConfig
from darts.config.blackbox import BlackboxConfig
from darts.config.fields import replaced
from darts.config.objectives import OBJECTIVES
from darts.errors import UserError
from darts.methods.space_factory import space_from
from darts.training.objective import score_of
from genotypes import Genotype
from supernet.cost.architecture import COSTS, Deployment, costs_of
from supernet.cost.limits import exceeded, parse_limits, shown
from supernet.cost.space_costs import SpaceCost, SpaceCosts
from supernet.cost.timing import Protocol, forward_pass, measure
from supernet.errors import SpaceError
from supernet.spaces.space import SearchSpace

Costs = Callable[[Genotype, Mapping[str, Any]], Mapping[str, float]]
"""(architecture, tuned fields of the configuration) -> its costs, by the names of their figures."""

NATIVE_CONSTRAINTS = int(optuna.__version__.partition(".")[0]) >= 5
"""Whether Optuna's trials hold constraints themselves; before version 5 its samplers ask a function for them."""


def value_of(score: Score) -> float:
    """Return what a search by accuracy maximizes on the validation examples: the accuracy, the mean IoU or the average
    precision; or the loss with its sign turned."""
    return score_of(score.values)


@dataclass(frozen=True)
class Goals:
    """The objectives of a search, the first of which chooses its result, and its limits.

    Attributes:
        objectives: names of ``OBJECTIVES``.
        limits: name of a cost -> the largest allowed value.
    """

    objectives: tuple[str, ...] = ("accuracy",)
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def directions(self) -> list[StudyDirection]:
        """The directions of the objectives."""
        ways = {True: StudyDirection.MAXIMIZE, False: StudyDirection.MINIMIZE}
        return [ways[OBJECTIVES[name].maximized] for name in self.objectives]

    @property
    def counted(self) -> tuple[str, ...]:
        """The costs that are counted before training."""
        return tuple(name for name in COSTS if name in self.objectives or name in self.limits)

    def costs_in(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return those figures that are counted before training.

        Raises:
            UserError: naming the first that is not among the figures.
        """
        for name in self.counted:
            if OBJECTIVES[name].figure not in figures:
                field = "limits" if name in self.limits else "objectives"
                raise UserError(f"`{field}`: the table has no {name} of its architectures; leave it out")
        return {figure: figures[figure] for figure in (OBJECTIVES[name].figure for name in self.counted)}

    def values(self, score: Score) -> list[float]:
        """Return the value of each objective.

        Raises:
            UserError: where the evaluation does not know one of them.
        """
        return [self._value(name, score) for name in self.objectives]

    def oriented(self, score: Score) -> Values:
        """Return the value of each objective, the larger the better; raise what ``values`` raises."""
        return larger_better(self.values(score), [OBJECTIVES[name].maximized for name in self.objectives])

    def _value(self, name: str, score: Score) -> float:
        if name == "accuracy":
            return value_of(score)
        if name == "seconds":
            return score.seconds
        if OBJECTIVES[name].figure not in score.values:
            raise UserError(f"`objectives`: this evaluation knows no {name}; leave it out, or set another `evaluator`")
        return score.values[OBJECTIVES[name].figure]

    def values_untrained(self, costs: Mapping[str, float]) -> list[float]:
        """Return the values of an architecture that is not trained: its costs, and the worst for what is not known."""
        worst = {True: -math.inf, False: math.inf}
        objectives = [OBJECTIVES[name] for name in self.objectives]
        return [costs.get(objective.figure, worst[objective.maximized]) for objective in objectives]

    def untrained(self, costs: Mapping[str, float]) -> Outcome | None:
        """Return what its costs tell of an architecture that is not trained; None where none are known."""
        if not costs:
            return None
        ways = [OBJECTIVES[name].maximized for name in self.objectives]
        return Outcome(larger_better(self.values_untrained(costs), ways), self.violation(costs))

    def violation(self, costs: Mapping[str, float]) -> float:
        """Return the sum of the relative excesses over the limits; 0 within all of them."""
        return violation_of(self.excesses(costs))

    def excesses(self, costs: Mapping[str, float]) -> dict[str, float]:
        """Return how far each limited cost is above its limit, as a share of the limit; negative below it."""
        return {name: costs[OBJECTIVES[name].figure] / limit - 1 for name, limit in self.limits.items()}

    def infeasible(self, costs: Mapping[str, float]) -> str:
        """Return which limits the costs of an architecture exceed, in words; empty where none is."""
        known = {name: costs[OBJECTIVES[name].figure] for name in self.limits}
        over = exceeded(known, self.limits)
        return ", ".join(f"{_named(name, known[name])}, limit {shown(name, self.limits[name])}" for name in over)

    def shown(self, values: Sequence[float]) -> str:
        """Return the values of the objectives in words."""
        return ", ".join(map(shown_value, self.objectives, values))


def violation_of(excesses: Mapping[str, float]) -> float:
    """Return the sum of the excesses; 0 within all limits."""
    return sum(excess for excess in excesses.values() if excess > 0)


def shown_value(name: str, value: float) -> str:
    """Return the value of an objective in words."""
    if name == "accuracy":
        return f"{100 * value:.2f} %" if value >= 0 else f"loss {-value:.4f}"
    if name == "loss":
        return f"loss {value:.4f}"
    if name == "proxy":
        return f"proxy {value:.6g}"
    return _named(name, value) if name in COSTS else f"{value:,.4g} s"


def _named(cost: str, value: float) -> str:
    """Return a cost with its name, where its unit does not say it."""
    return shown(cost, value) if COSTS[cost].unit else f"{shown(cost, value)} {cost.replace('_', '-')}"


def goals_of(config: BlackboxConfig) -> Goals:
    """Return the objectives and limits that a configuration names.

    Raises:
        UserError: naming the first name or number that is wrong, and what is allowed.
    """
    names = tuple(config.objectives.split(","))
    if config.evaluator_name == "proxy":
        names = tuple("proxy" if name == "accuracy" else name for name in names)
    for position, name in enumerate(names):
        if name not in OBJECTIVES:
            raise UserError(f"`objectives`: {name[:40]!r} is none; it must be of {', '.join(OBJECTIVES)}")
        if name in names[:position]:
            raise UserError(f"`objectives` names {name} twice")
    return Goals(names, parse_limits(config.limits) if config.limits else {})


def uncounted(genotype: Genotype, settings: Mapping[str, Any]) -> Mapping[str, float]:
    """Return no costs: for searches that neither minimize nor limit them."""
    return {}


def looked_up_costs(goals: Goals, benchmark: Benchmark, data: str, epochs: int) -> Costs:
    """Return the costs that a benchmark has recorded.

    Raises:
        UserError: when called, where the benchmark has not recorded one of them.
    """

    def costs(genotype: Genotype, settings: Mapping[str, Any]) -> Mapping[str, float]:
        return goals.costs_in(benchmark.query(genotype, data, epochs).values)

    return costs if goals.counted else uncounted


def counted_costs(
    goals: Goals,
    config: RetrainConfig,
    shape: Any,
    *,
    device: torch.device,
    space: Callable[[Mapping[str, Any]], SearchSpace],
    latencies: Path | None = None,
) -> Costs:
    """Return the costs of the networks that a configuration trains.

    Args:
        goals: say which costs count.
        config: of the training.
        shape: of the data set's examples.
        device: on which latency is measured, where there is no table.
        space: tuned fields -> the space of the search.
        latencies: table of measured latencies, by which latency is predicted.

    Raises:
        NoisyMachine: when called, where the times of a network spread too widely to be used.
        SpaceError: when called, where the table does not fit the space.
    """

    @cache
    def predicted(settings: tuple[tuple[str, Any], ...]) -> SpaceCost:
        return SpaceCosts(space(dict(settings)), shape).cost("latency", table=latencies)

    def costs(genotype: Genotype, settings: Mapping[str, Any]) -> Mapping[str, float]:
        trained = space_from(replaced(config, settings), shape=shape, genotype=genotype)
        counted = [name for name in goals.counted if COSTS[name].counts is not None]
        found = costs_of(trained, genotype, counted, Deployment(shape))
        if "latency" not in goals.counted:
            return found
        if latencies is not None:
            return {**found, "latency_ms": predicted(tuple(settings.items())).of(trained.picks(genotype))}
        with torch.random.fork_rng(devices=[]):
            network = trained.network(genotype).to(device)
            call = forward_pass(network, shape.inputs(1), device)
            return {**found, "latency_ms": measure({"network": call}, device, Protocol())["network"].ms}

    return costs if goals.counted else uncounted


def summed_price(
    goals: Goals, space: SearchSpace, shape: Any, latencies: Path | None = None
) -> Callable[[Genotype], Outcome | None]:
    """Return what costs as sums over candidates tell of untrained networks, for strategies that ask about thousands.

    That is None where a cost is no such sum: memory at its peak, and latency that is measured.

    Args:
        goals: say which costs count.
        space: at the size of the networks that are trained.
        shape: of the data set's examples.
        latencies: table of measured latencies.
    """

    @cache
    def sums() -> dict[str, SpaceCost]:
        known = SpaceCosts(space, shape)
        try:
            found = {OBJECTIVES[name].figure: known.cost(name, table=latencies) for name in goals.counted}
        except SpaceError:
            return {}
        return found if all(cost.adds_up for cost in found.values()) else {}

    def price(genotype: Genotype) -> Outcome | None:
        picks = space.picks(genotype)
        return goals.untrained({figure: cost.of(picks) for figure, cost in sums().items()})

    return price


def constraints_of(trial: FrozenTrial) -> dict[str, float]:
    """Return a trial's relative excesses over its limits, whoever has recorded them: this project or Optuna."""
    recorded = dict(enumerate(trial.system_attrs.get(CONSTRAINTS, ())))
    prefix = f"{CONSTRAINTS}:"
    named = {name.removeprefix(prefix): value for name, value in trial.system_attrs.items() if name.startswith(prefix)}
    return {str(name): value for name, value in {**recorded, **named, **trial.user_attrs.get(CONSTRAINTS, {})}.items()}


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial is within its limits."""
    return all(excess <= 0 for excess in constraints_of(trial).values())


def oriented(study: Study, values: Sequence[float]) -> Values:
    """Return values of the objectives, the larger the better."""
    return larger_better(values, [direction != StudyDirection.MINIMIZE for direction in study.directions])


def outcome_of(study: Study, trial: FrozenTrial) -> Outcome | None:
    """Return the outcome of a trial at its first rung; None for one that failed or was pruned before."""
    values = first_result(trial)
    if values is None:
        return None
    return Outcome(oriented(study, values), violation_of(constraints_of(trial)))


def feasible_value(study: Study, trial: FrozenTrial) -> float | None:
    """Return the value of a trial, the larger the better; None for one that failed, was pruned, or is over a limit."""
    outcome = outcome_of(study, trial)
    return outcome.values[0] if outcome and not outcome.violation else None


def record_constraints(trial: Trial, excesses: Mapping[str, float]) -> None:
    """Record by how much a trial exceeds its limits, as Optuna's constrained samplers read it."""
    trial.set_user_attr(CONSTRAINTS, dict(excesses))
    if NATIVE_CONSTRAINTS:
        known = trial.constraints
        for name, excess in excesses.items():
            if name not in known:
                trial.set_constraint(name, excess)


def recorded_constraints(trial: FrozenTrial) -> list[float]:
    """Return what ``record_constraints`` recorded, as samplers of Optuna 4 ask for it."""
    return list(trial.user_attrs.get(CONSTRAINTS, {}).values())
