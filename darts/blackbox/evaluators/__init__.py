"""The evaluators of search without gradients, by name; each is a file here and a row of ``EVALUATORS``."""

from __future__ import annotations

from collections.abc import Callable

from darts.blackbox.evaluators.benchmark import BenchmarkLookup
from darts.blackbox.evaluators.evaluator import EvaluatorOptions, Problem, Setting, unknown
from darts.blackbox.evaluators.proxy import ZeroCost
from darts.blackbox.evaluators.shared import SharedWeights
from darts.blackbox.evaluators.training import FromScratch
from darts.blackbox.proxies import PROXIES
from darts.blackbox.strategies import STRATEGIES
from darts.config.blackbox import BlackboxConfig
from darts.errors import UserError
from darts.methods.compose import component

EVALUATORS: dict[str, EvaluatorOptions] = {
    "training": FromScratch(),
    "benchmark": BenchmarkLookup(),
    "shared": SharedWeights(),
    **{f"proxy:{name}": ZeroCost(name) for name in PROXIES},
}
"""Name -> an evaluator with its default options."""


def evaluator_of(config: BlackboxConfig) -> EvaluatorOptions:
    """Return the configuration's evaluator.

    Raises:
        UserError: where there is no such evaluator or option.
    """
    text = config.evaluator
    if text.startswith("proxy:"):
        name, _, options = text.partition(",")
        if name not in EVALUATORS:
            raise UserError(f"`evaluator` is {text!r}; the proxies are {', '.join(PROXIES)}")
        return component("`evaluator`", {"proxy": EVALUATORS[name]}, f"proxy:{options}")
    return component("`evaluator`", EVALUATORS, text)


def problem_of(config: BlackboxConfig, setting: Callable[[], Setting]) -> Problem:
    """Return the problem that a configuration describes.

    Args:
        config: of the search.
        setting: opens the data set; not called by an evaluator that needs none.

    Raises:
        UserError: where the evaluator cannot judge what the configuration searches.
    """
    options, name = evaluator_of(config), config.strategy_name
    if name in STRATEGIES and STRATEGIES[name].needs_shared_weights and not options.shares_weights:
        raise UserError(f"`strategy` {name} judges architectures by shared weights: set `evaluator` to shared")
    if (config.scheduler != "none" or config.stoppers) and not options.trains:
        raise UserError(f"`evaluator` {config.evaluator} trains no architecture: leave out `scheduler` and `stoppers`")
    return options.problem(config, setting)


__all__ = ["EVALUATORS", "EvaluatorOptions", "Problem", "Setting", "evaluator_of", "problem_of", "unknown"]
