"""Stoppers: medians of running averages, and extrapolated learning curves whose probabilities hold."""

import numpy as np
import pytest

from darts.blackbox.schedulers.scheduler import Record, State
from darts.blackbox.stoppers import LearningCurve, Median
from darts.blackbox.stoppers.learning_curve import FAMILIES, extrapolate


def record(values, number=0, state=State.RUNNING):
    """A trial with a value after each epoch."""
    return Record(number, 0, len(values), dict(enumerate(values, 1)), state)


LEVELS = 0.1, 0.2, 0.3, 0.4, 0.5
OTHERS = [record([level, level + 0.2, level + 0.3], number) for number, level in enumerate(LEVELS, 1)]


@pytest.mark.parametrize(
    ("values", "stopped"),
    [
        ([0.1, 0.39], True),  # running averages after two epochs: 0.2, 0.3, 0.4, 0.5, 0.6
        ([0.1, 0.41], False),
        ([0.41, 0.1], False),  # the best value counts
        ([0.1], False),  # the first epoch
    ],
)
def test_the_median_of_running_averages(values, stopped):
    reason = Median().reason(record(values), OTHERS, 9)
    assert (reason is not None) is stopped
    if stopped:
        assert reason == "stopped after 2 epochs: 0.3900 is less than the median 0.4000 of 5 trials"


def test_too_few_trials_stop_none():
    assert Median(trials=6).reason(record([0.0, 0.0]), OTHERS, 9) is None
    assert Median(trials=5).reason(record([0.0] * 4), OTHERS, 9) is None, "the others have three epochs"


def curve(rng, family, epochs):
    x = np.arange(1, epochs + 1)
    top, drop = rng.uniform(0.6, 0.97), rng.uniform(0.2, 0.6)
    shape = {
        "pow3": lambda: x ** -rng.uniform(0.3, 1.5),
        "exp3": lambda: np.exp(-rng.uniform(0.05, 0.6) * x),
        "log_power": lambda: 1 / (1 + (x / np.exp(rng.uniform(0, 1.5))) ** rng.uniform(0.7, 1.8)),
    }[family]()
    return np.clip(top - drop * shape + rng.normal(0, 0.005, epochs), 0, 1)


def test_probabilities_of_extrapolated_curves_hold():
    """The true value is above the 95 % quantile in about 5 % of curves, and the error is small."""
    rng = np.random.default_rng(0)
    above, errors = [], []
    for number in range(24):
        values = curve(rng, list(FAMILIES)[number % 3], 30)
        predicted = extrapolate(dict(enumerate(values[:8], 1)), 30)
        above.append(predicted.below(values[-1]) > 0.95)
        errors.append(abs(predicted.mean - values[-1]))
    assert sum(above) <= 4 and np.mean(errors) < 0.03


def test_a_hopeless_trial_is_stopped_and_a_promising_one_is_not():
    stopper, best = LearningCurve(), record([0.9] * 30, 1, State.OVER)
    flat = record([0.5, 0.6, 0.64, 0.65, 0.655, 0.656])
    reason = stopper.reason(flat, [best], 30)
    assert reason.startswith("stopped after 6 epochs: 0.6") and "less than the best 0.9000" in reason
    rising = record([0.5, 0.6, 0.68, 0.74, 0.79, 0.83])
    assert stopper.reason(rising, [best], 30) is None
    assert stopper.reason(record([0.1, 0.1, 0.1]), [best], 30) is None, "three values are too few"
    assert stopper.reason(flat, [record([0.9] * 20, 1)], 30) is None, "nothing was trained to the end"


def test_losses_are_extrapolated_too():
    """A loss with its sign turned, which approaches 0 from below."""
    values = {epoch: -(0.3 + 2.0 / epoch) for epoch in range(1, 9)}
    predicted = extrapolate(values, 40)
    assert -0.6 < predicted.mean < -0.2
    assert predicted.below(-0.05) > 0.9
