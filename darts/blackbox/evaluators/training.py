"""Trained from scratch: on a part of the training set, or by k-fold cross-validation on all of it.

The figures of a trial of ``k`` folds are means over its ``k`` trainings, each judged on a fold that it did not train
on; every example judges once. The test split of the data set is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import ClassVar

import torch

from darts.benchmarks.protocol import Score
from darts.blackbox.evaluators.evaluator import EvaluatorOptions, HeldOut, Problem, Setting
from darts.config.blackbox import BlackboxConfig
from darts.config.ranges import require
from darts.data.dataset import DataSet
from darts.errors import UserError
from darts.retraining.evaluator import Budget, Evaluator, Retraining, Trial
from genotypes import Genotype


@dataclass(frozen=True)
class FromScratch(EvaluatorOptions):
    """Trains each architecture for ``budget.epochs``.

    ``folds``: 1 trains on ``train_share`` of the training set and judges on the rest; more are the folds of
    cross-validation.
    """

    trains: ClassVar[bool] = True
    folds: int = 1

    def __post_init__(self) -> None:
        require(self, from_1=("folds",))

    def problem(self, config: BlackboxConfig, setting: Callable[[], Setting]) -> Problem:
        """Return the problem of training each architecture, and judging it on examples that did not train it.

        Raises:
            UserError: where the data set cannot be cut into folds.
        """
        opened = setting()
        if self.folds == 1:
            parts = [opened.part(*opened.split())]
        else:
            parts = [opened.part(*fold) for fold in folds(opened.data, self.folds, config.seed)]
        trainings = [HeldOut(Retraining(opened.retraining(), part, opened.device, opened.console)) for part in parts]
        evaluator = trainings[0] if self.folds == 1 else CrossValidation(trainings)
        return Problem(opened.decisions(), evaluator, opened.costs())


@dataclass(frozen=True)
class CrossValidation(Evaluator):
    """Means over several evaluators, one for each fold, which are continued one after the other.

    A training of fold ``k`` has the folder ``fold<k>`` in that of its trial. The spread of a figure over the folds is
    its name with ``_std`` behind it.
    """

    evaluators: Sequence[Evaluator]

    def __call__(self, genotype: Genotype, budget: Budget, trial: Trial) -> Score:
        """Return means over the folds, and the seconds of all."""
        scores = [
            evaluator(genotype, budget, replace(trial, folder=trial.folder / f"fold{number}"))
            for number, evaluator in enumerate(self.evaluators, 1)
        ]
        values = {}
        for name in scores[0].values:
            found = [score.values[name] for score in scores]
            values[name] = fmean(found)
            if name.startswith("valid_"):
                values[f"{name}_std"] = pstdev(found)
        return Score(values, sum(score.seconds for score in scores), scores[0].notes)


def folds(data: DataSet, count: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the training and the validation examples of each fold, ``(n,)`` each; every class is spread evenly.

    Raises:
        UserError: where the examples have no classes, as those of running text, or are too few.
    """
    labels = data.train.class_labels()
    if labels is None:
        raise UserError(
            f"`evaluator` cuts {data.name} into {count} folds, which needs examples with classes; leave out folds"
        )
    if len(labels) < 2 * count:
        raise UserError(f"`evaluator` cuts {len(labels)} examples into {count} folds; take at most {len(labels) // 2}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order].argsort(stable=True)]
    number = torch.empty_like(order)
    number[order] = torch.arange(len(order)) % count
    return [((number != fold).nonzero().flatten(), (number == fold).nonzero().flatten()) for fold in range(count)]
