"""Strategies as samplers of Optuna, so that its storage, workers and dashboard serve them.

A study's own records restore a strategy: before each trial it learns the values that other trials have reached since,
in the order of their numbers. The generator of a trial depends on the seed and the trial's number alone. So a study of
one worker that is interrupted and continued asks for the same points as one that was not. Under a scheduler a strategy
learns the result of each trial at its first rung, at which all trials can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from darts.blackbox.objectives import NATIVE_CONSTRAINTS, feasible_value, recorded_constraints
from darts.blackbox.points import Decisions, Point
from darts.blackbox.records import has_first_result
from darts.blackbox.strategies import STRATEGIES, Strategy
from darts.blackbox.tuning import holds, text_of, value_from

LIMITED: dict[str, Any] = {} if NATIVE_CONSTRAINTS else {"constraints_func": recorded_constraints}
"""Options of Optuna's samplers by which they learn of limits."""

OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, **LIMITED),
    "gp": lambda seed: GPSampler(seed=seed, **LIMITED),
    "nsga2_optuna": lambda seed: NSGAIISampler(seed=seed, **LIMITED),
}
"""Name -> a sampler of Optuna, by its seed: Parzen estimators (Bergstra et al. 2011), a Gaussian process, NSGA-II."""

OWN_SEVERAL = tuple(name for name, strategy in STRATEGIES.items() if strategy.several_objectives)
SEVERAL = *OWN_SEVERAL, *OPTUNA
"""Strategies that can search by several objectives: this project's, and all."""


class StrategySampler(BaseSampler):
    """Samples the points that a strategy asks for.

    Args:
        strategy: its options.
        decisions: the space. Parameters that are none of its decisions are drawn at random.
        seed: of all draws.
        outcome: of a finished trial, as ``Search.tell`` takes it; by default its value, or None where it failed, was
            pruned, or is over a limit. For strategies that search by several objectives, ``objectives.outcome_of``.
    """

    def __init__(
        self,
        strategy: Strategy,
        decisions: Decisions,
        seed: int = 0,
        outcome: Callable[[Study, FrozenTrial], Any] = feasible_value,
    ):
        self.seed = seed
        self._outcome = outcome
        self._search = strategy.start(decisions)
        self._asked: dict[int, Point] = {}
        self._told: set[int] = set()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the strategy what was reached since, and ask it for this trial's point."""
        for reached in study.get_trials(deepcopy=False):
            known = reached.number < trial.number or reached.number in self._asked
            if known and reached.number not in self._told and has_first_result(reached):
                self._tell(study, reached)
        self._ask(trial.number)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return none: decisions are asked one by one, as the trial comes to them."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return none."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value that the strategy asks for."""
        wanted = self._asked[trial.number].get(param_name)
        if wanted is not None and holds(param_distribution, wanted):
            return value_from(param_distribution, wanted)
        drawn = RandomSampler(Random(f"{self.seed}:{trial.number}:{param_name}").getrandbits(32))
        return drawn.sample_independent(study, trial, param_name, param_distribution)

    def _ask(self, number: int) -> None:
        if number not in self._asked:
            self._asked[number] = self._search.ask(Random(f"{self.seed}:{number}"))

    def _tell(self, study: Study, trial: FrozenTrial) -> None:
        self._ask(trial.number)  # of a trial of another process or an earlier one: what it drew must be drawn again
        self._told.add(trial.number)
        asked = self._asked[trial.number]
        point = {name: text_of(trial.params.get(name, chosen)) for name, chosen in asked.items()}
        self._search.tell(point, self._outcome(study, trial))


def suggest(trial: Trial | optuna.trial.FixedTrial | FrozenTrial, decisions: Decisions) -> Point:
    """Ask a trial for every decision that takes part in its architecture; the others are no parameters of it."""
    point: Point = {}
    while (decision := decisions.following(point)) is not None:
        point[decision.name] = str(trial.suggest_categorical(decision.name, decision.values))
    return point
