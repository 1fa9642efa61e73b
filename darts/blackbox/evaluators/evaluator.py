"""How an evaluator is chosen and built: ``--evaluator NAME:option=value``.

An evaluator's options are a frozen dataclass, a row of ``EVALUATORS``. Its ``problem`` builds, for the data and the
device of a run, the function that judges a genotype (``darts.retraining.evaluator``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from rich.console import Console

from darts.benchmarks.protocol import Score
from darts.benchmarks.standing import Standing
from darts.blackbox.objectives import Costs, counted_costs, goals_of, summed_price, uncounted
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.strategies.strategy import Strategy
from darts.config import LanguageRetrainConfig, RetrainConfig
from darts.config.blackbox import BlackboxConfig
from darts.config.fields import replaced
from darts.data.dataset import DataSet
from darts.data.split import SplitSubset
from darts.methods.space_factory import space_from
from darts.retraining.evaluator import Budget, Evaluator, Trial
from genotypes import Genotype


def unknown(genotype: Genotype) -> Standing | None:
    """Return None: no table has the architecture's standing."""
    return None


@dataclass(frozen=True)
class Problem:
    """The decisions of a search and the evaluator of its architectures.

    Attributes:
        decisions: of an architecture.
        evaluator: judges it.
        costs: that are known before it is judged.
        strategy: takes the place of the configuration's, where the evaluator has trained it; else None.
        truth: returns the standing of an architecture among all, where a table has it.
    """

    decisions: ArchitectureDecisions
    evaluator: Evaluator
    costs: Costs = uncounted
    strategy: Strategy | None = None
    truth: Callable[[Genotype], Standing | None] = unknown


@dataclass(frozen=True)
class Setting:
    """The run that an evaluator is built for.

    Attributes:
        config: of the search.
        data: its data set, on the device.
        device: that trains.
        folder: of the run.
        console: gets the lines of what is trained once for all trials.
    """

    config: BlackboxConfig
    data: DataSet
    device: torch.device
    folder: Path
    console: Console

    def decisions(self) -> ArchitectureDecisions:
        """Return the decisions of the configuration's space on this data."""
        goals, shape = goals_of(self.config), self.data.shape
        space = space_from(self.config, shape=shape)
        return ArchitectureDecisions(space).priced(summed_price(goals, space, shape, self.config.latencies))

    def retraining(self) -> RetrainConfig:
        """Return the configuration of the training of one architecture."""
        config = self.config
        return LanguageRetrainConfig(
            data=config.data,
            space=config.space.of_networks,
            weights=config.weights,
            language=config.language,
            epochs=config.budget.epochs,
            batch_size=config.batch_size,
            auxiliary=0.0,
            drop_path=0.0,
            seed=config.seed,
            run=config.run,
        )

    def costs(self) -> Costs:
        """Return what counts the costs of the networks that are trained from scratch."""
        config, shape = self.config, self.data.shape
        return counted_costs(
            goals_of(config),
            self.retraining(),
            shape,
            device=self.device,
            space=lambda settings: space_from(replaced(config, settings), shape=shape),
            latencies=config.latencies,
        )

    def split(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the examples of the training set that train, and those that validate, ``(n,)`` each."""
        share, labels = self.config.train_share, self.data.train.class_labels()
        return self.data.search_split(share, None if labels is None else 1 - share)

    def part(self, train: torch.Tensor, valid: torch.Tensor) -> DataSet:
        """Return some examples of the training set as a data set, whose test split are others of them."""
        data = self.data
        return DataSet(
            data.name,
            data.shape,
            train=SplitSubset(data.train, train),
            test=SplitSubset(data.train, valid),
            objective=data.objective,
        )


class EvaluatorOptions(Protocol):
    """The options of an evaluator.

    Attributes:
        shares_weights: whether it judges with weights that all architectures share.
        trains: whether its figures depend on the epochs that a scheduler gives to an architecture.
    """

    shares_weights: ClassVar[bool] = False
    trains: ClassVar[bool] = False

    def problem(self, config: BlackboxConfig, setting: Callable[[], Setting]) -> Problem:
        """Return the problem of a search with this evaluator.

        Args:
            config: of the search.
            setting: opens the data set; not called by an evaluator that needs none.

        Raises:
            UserError: where it cannot judge what the configuration searches.
        """
        ...


@dataclass(frozen=True)
class HeldOut(Evaluator):
    """Names the figures of an evaluator's test split, which is held out of the training set, as validation figures."""

    evaluator: Evaluator

    def __call__(self, genotype: Genotype, budget: Budget, trial: Trial) -> Score:
        """Return the evaluator's score with other names."""
        score = self.evaluator(genotype, budget, trial)
        return replace(score, values={name.replace("test_", "valid_"): value for name, value in score.values.items()})
