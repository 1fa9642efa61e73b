"""Strategies as samplers of Optuna, so that its storage, workers and dashboard serve them.

A study's own records restore a strategy: before each trial, what other trials have reached since is told to it in the
order of their numbers. The generator of a trial depends on the seed and the trial's number alone. So a study of one
worker that is interrupted and continued asks for the same points as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from darts.blackbox.points import Decisions, Point
from darts.blackbox.strategies import Strategy

OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
}
"""Name -> a sampler of Optuna, by its seed: Parzen estimators (Bergstra et al. 2011), a Gaussian process."""

FINISHED = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)


class StrategySampler(BaseSampler):
    """Samples the points that a strategy asks for.

    Args:
        strategy: its options.
        decisions: the space. Parameters that are none of its decisions are drawn at random.
        seed: of all draws.
    """

    def __init__(self, strategy: Strategy, decisions: Decisions, seed: int = 0):
        self.seed = seed
        self._search = strategy.start(decisions)
        self._asked: dict[int, Point] = {}
        self._told: set[int] = set()
        self._others = RandomSampler(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the strategy what was reached since, and ask it for this trial's point."""
        for finished in study.get_trials(deepcopy=False, states=FINISHED):
            if finished.number < trial.number or finished.number in self._asked:
                self._tell(study, finished)
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
        if isinstance(param_distribution, CategoricalDistribution) and wanted in param_distribution.choices:
            return wanted
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def _ask(self, number: int) -> None:
        if number not in self._asked:
            self._asked[number] = self._search.ask(Random(f"{self.seed}:{number}"))

    def _tell(self, study: Study, trial: FrozenTrial) -> None:
        if trial.number in self._told:
            return
        self._ask(trial.number)  # of a trial of another process or an earlier one: what it drew must be drawn again
        self._told.add(trial.number)
        value = trial.value if trial.state == TrialState.COMPLETE else None
        if value is not None and study.direction == StudyDirection.MINIMIZE:
            value = -value
        asked = self._asked[trial.number]
        self._search.tell({name: trial.params.get(name, chosen) for name, chosen in asked.items()}, value)


def suggest(trial: Trial | optuna.trial.FixedTrial | FrozenTrial, decisions: Decisions) -> Point:
    """Ask a trial for every decision that takes part in its architecture; the others are no parameters of it."""
    point: Point = {}
    while (decision := decisions.following(point)) is not None:
        point[decision.name] = str(trial.suggest_categorical(decision.name, decision.values))
    return point
