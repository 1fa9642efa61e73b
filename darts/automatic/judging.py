"""What an architecture is worth: its networks trained on the folds, and how certain the figures are.

Axes: ``n`` example.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from darts.automatic.examples.targets import Target
from darts.automatic.metrics import figures
from darts.automatic.problem import FitProblem, Plan, network_of
from darts.automatic.training import Settings, loss_of, score_of, train

RESAMPLES = 50
"""Bootstrap samples of the validation examples, whose spread is the standard error of a metric."""

IMBALANCED = 10
"""Ratio of the largest to the smallest class from which on a note names it."""


@dataclass(frozen=True)
class Judged:
    """An architecture after its trainings.

    Attributes:
        networks: one a fold.
        scores: of each fold.
        outputs, answers: of all validation parts together.
        figures: metrics of these.
    """

    networks: list[nn.Module]
    scores: list[float]
    outputs: np.ndarray
    answers: np.ndarray
    figures: dict[str, float]


def judge(
    problem: FitProblem,
    plan: Plan,
    folds: Sequence[tuple[Tensor, Tensor]],
    point: Mapping[str, str],
    number: int,
    end: float | None,
    falls_behind: Callable[[list[float]], bool],
) -> Judged:
    """Train the networks of an architecture: of all folds, or of the first ones where it falls behind.

    Args:
        folds: training and validation part of each, ``(n,)`` indices on the device.
        point: the architecture and the settings of its training.
        number: of the trial, from which its randomness comes.
        end: when everything ends, as ``time.monotonic`` counts; None for never.
        falls_behind: of the scores of the first folds, whether to give it up.

    Raises:
        Diverged: where a loss is not finite.
    """
    now = time.monotonic()
    ends = [each for each in (end, plan.seconds and now + plan.seconds) if each]
    networks, scores, outputs, answers = [], [], [], []
    for fold, indices in enumerate(folds):
        now, left = time.monotonic(), len(folds) - fold
        deadline = now + (min(ends) - now) / left if ends else now + 1e9
        seed = int(np.random.SeedSequence((problem.seed, number, fold)).generate_state(1)[0])
        torch.manual_seed(seed)
        network, chosen = network_of(problem, point)
        settings = Settings(
            plan.epochs, plan.batch_size, chosen.lr, chosen.weight_decay, chosen.shifted, max(5, plan.epochs // 3)
        )
        trained = train(
            network,
            problem.examples,
            indices,
            target=problem.target,
            metric=problem.metrics[0],
            settings=settings,
            loss=loss_of(problem.target, problem.weights),
            deadline=deadline,
            seed=seed,
        )
        networks.append(trained.network)
        outputs.append(trained.outputs)
        answers.append(problem.examples.answers[indices[1]].cpu().numpy())
        scores.append(score_of(problem.metrics[0], problem.target, answers[-1], outputs[-1]))
        if left > 1 and falls_behind(scores):
            break
    all_outputs, all_answers = (
        _in_units(problem.target, np.concatenate(outputs)),
        _in_units(problem.target, np.concatenate(answers)),
    )
    return Judged(networks, scores, all_outputs, all_answers, figures(problem.metrics, all_answers, all_outputs))


def _in_units(target: Target, values: np.ndarray) -> np.ndarray:
    """Return numbers in the unit in which they were given; classes and labels as they are."""
    return values * target.std + target.mean if target.task == "regression" else values


def standard_error(problem: FitProblem, judged: Judged) -> float:
    """Return the standard error of the metric: of bootstrap samples of the validation examples."""
    rng, metric = np.random.default_rng(0), problem.metrics[0]
    values = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(judged.answers), size=len(judged.answers))
        values.append(figures([metric], judged.answers[chosen], judged.outputs[chosen])[metric])
    least = 0.0 if problem.target.task == "regression" else 1 / (len(judged.answers) + 2)
    return max(float(np.std(values)), least)


def doubts(problem: FitProblem, values: Sequence[float], best: float, error: float) -> list[str]:
    """Return what makes the result doubtful: too few examples to tell architectures apart, rare classes.

    Args:
        values: the metric of every architecture.
        best: that of the best one.
        error: its standard error.
    """
    metric, notes = problem.metrics[0], []
    close = sum(abs(value - best) <= error for value in values)
    if len(values) >= 4 and close > len(values) / 2:
        notes.append(
            f"too few data to tell architectures apart: {close} of {len(values)} are within the standard error of "
            f"the best, {metric} {best:.4f} ± {error:.4f}"
        )
    if problem.target.task == "classification" and problem.weights is None:
        counts = problem.examples.answers.bincount(minlength=problem.target.outputs)
        if counts.max() >= IMBALANCED * counts.min():
            rare = problem.target.names[int(counts.argmin())]
            notes.append(
                f"class {rare!r} has {int(counts.min())} of {len(problem.examples)} examples; "
                "class_weight='balanced' and metric='balanced_accuracy' make classes count alike"
            )
    return notes
