"""Samplers of Optuna as strategies: made anew for each trial, and shown results that can be compared.

A sampler of Optuna draws from a generator that a process carries along. Made anew from the seed and the trial's number,
it proposes the same architectures in a study that was interrupted. Under a scheduler, trials were trained for different
numbers of epochs: the sampler sees the results at one rung alone, the longest that has enough of them, as BOHB defines
it (Falkner et al. 2018, section 3.2). Trials that are paused, running further or pruned count with their result there.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from darts.blackbox.records import epochs_of, results_of
from darts.errors import UserError
from genotypes.errors import kind_and_text

ENOUGH = 10
"""Results that a rung must have; samplers of Optuna draw at random before they have seen as many."""


class PerTrialSampler(BaseSampler):
    """Makes a sampler for each trial.

    Args:
        make: returns the sampler of a seed.
        seed: of all trials.
        rungs: of the study's schedule.
        random_share: of the trials whose values are drawn uniformly.
        per_decision: whether a rung must have more results than a trial has decisions, instead of ``ENOUGH``. Where
            none has, values are drawn uniformly.
    """

    def __init__(
        self,
        make: Callable[[int], BaseSampler],
        seed: int,
        rungs: Sequence[int],
        *,
        random_share: float = 0.0,
        per_decision: bool = False,
    ):
        self._make, self._seed, self._rungs = make, seed, tuple(rungs)
        self._random_share, self._per_decision = random_share, per_decision
        self._number: int | None = None
        self._sampler: BaseSampler = RandomSampler(seed)
        self._study: Study | None = None
        self._id: int | None = None

    def reseed_rng(self) -> None:
        """Do nothing: the draws depend on the trial alone."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the sampler of this trial."""
        rng = Random(f"{self._seed}:{trial.number}")
        at_random, seed = rng.random() < self._random_share, rng.getrandbits(32)
        self._number = trial.number
        one_length = len(self._rungs) == 1
        seen = None if one_length else _at_one_rung(study, self._rungs, self._per_decision)
        uninformed = seen is None and not one_length
        self._sampler = RandomSampler(seed) if uninformed or at_random else self._make(seed)
        self._study = study if seen is None else seen
        with _of_sound_records():
            self._id = None if seen is None else seen.ask()._trial_id
            self._sampler.before_trial(self._study, self._in_it(trial))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that are drawn together; none for a trial that has its values."""
        with _of_sound_records():
            return {} if trial.params else self._sampler.infer_relative_search_space(*self._seen(study, trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values that are drawn together."""
        with _of_sound_records():
            return self._sampler.sample_relative(*self._seen(study, trial), search_space) if search_space else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value of one parameter."""
        with _of_sound_records():
            return self._sampler.sample_independent(*self._seen(study, trial), param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Let the sampler note a result."""
        with _of_sound_records():
            self._sampler.after_trial(study, trial, state, values)

    def _seen(self, study: Study, trial: FrozenTrial) -> tuple[Study, FrozenTrial]:
        """Return the study that the sampler is shown, and the trial as one of it."""
        if self._number != trial.number or self._study is None:
            self.before_trial(study, trial)
        assert self._study is not None
        return self._study, self._in_it(trial)

    def _in_it(self, trial: FrozenTrial) -> FrozenTrial:
        if self._id is None:
            return trial
        shown = copy.copy(trial)
        shown._trial_id = self._id
        return shown


@contextmanager
def _of_sound_records() -> Iterator[None]:
    """Raise what a sampler of Optuna raises within as a ``UserError``: its own records are not those that it wrote."""
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = kind_and_text(error)
        raise UserError(f"the sampler cannot read the study's records ({reason}); choose another `run.name`") from None


def _at_one_rung(study: Study, rungs: Sequence[int], per_decision: bool) -> Study | None:
    """Return a study in memory of the results at the longest rung with enough of them.

    Without one it is the rung with the most results; None where that is not enough for a model.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if epochs_of(trial)]
    enough = 1 + max((len(trial.params) for trial in trials), default=0) if per_decision else ENOUGH
    at = {rung: [trial for trial in trials if rung in results_of(trial)] for rung in rungs}
    fitting = [rung for rung in rungs if len(at[rung]) >= enough]
    if not fitting and per_decision:
        return None
    rung = max(fitting) if fitting else max(rungs, key=lambda each: len(at[each]))
    seen = optuna.create_study(directions=study.directions)
    for trial in at[rung]:
        values = results_of(trial)[rung]
        seen.add_trial(create_trial(params=trial.params, distributions=trial.distributions, values=values))
    return seen


def bohb_model(seed: int) -> BaseSampler:
    """Return Parzen estimators of all decisions of an architecture together, as BOHB models them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(n_startup_trials=0, multivariate=True, group=True, seed=seed)
