"""The problem that a search of ``darts.fit`` solves: examples, space, folds, and how long each training is.

Axes: ``n`` example.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from torch import Tensor, nn

from darts.automatic.examples.inputs import Encoder, Given
from darts.automatic.examples.targets import Target
from darts.automatic.networks import FitSpace, space_for
from darts.automatic.training import Examples, Settings, batches, class_weights, loss_of, train
from darts.blackbox.points import ArchitectureDecisions, Decision, Decisions, Point, complete
from genotypes.types.choices import ChoicesGenotype

FOLDED = 5_000
"""Up to so many examples are cross-validated; of more, a fifth is held out."""

FOLDS = (5, 3)
"""Numbers of folds, the first for which there is time."""

TRIAL_SHARE = 0.06
"""Share of the budget that the training of one architecture should take."""

LARGEST_SHARE = 0.4
"""The same at most, where few epochs would take more: one network that is trained is better than many that are not."""

FOLDED_SHARE = 0.15
"""The same where it is cross-validated: most are given up after the first fold."""

ENOUGH_EPOCHS = 20
"""Epochs of a training that there must be time for before there are several folds."""

MAX_EPOCHS = {"table": 100, "image": 60, "text": 30}
MAX_STEPS = 4_000
"""A training is no longer than the larger of these steps and ``MIN_EPOCHS``."""

MIN_EPOCHS = 20

MEASURED_STEPS = 8
"""Steps whose time is measured before a search."""

MEASURED_SHARE = 0.02
"""Share of the budget after which no further measurement is begun."""

OVERRUN = 3.0
"""An architecture may take so many times the time of the first one."""

TUNED: dict[str, tuple[str, ...]] = {
    "lr": ("0.0003", "0.001", "0.003", "0.01"),
    "weight_decay": ("0.0001", "0.01", "0.1"),
}
"""What is chosen beside the architecture; of images, also whether they are shifted."""

START = {"lr": "0.003", "weight_decay": "0.01", "shifted": "no"}


@dataclass(frozen=True)
class FitProblem:
    """The examples and the space of a search; ``folds`` and ``epochs`` where a user has chosen them."""

    given: Given
    encoder: Encoder
    target: Target
    examples: Examples
    space: FitSpace
    metrics: tuple[str, ...]
    weights: Tensor | None
    seed: int
    device: torch.device
    folds: int | None = None
    epochs: int | None = None

    @property
    def tuned(self) -> Mapping[str, tuple[str, ...]]:
        """What is chosen beside the architecture."""
        return {**TUNED, "shifted": ("no", "yes")} if self.given.kind == "image" else TUNED


def make_problem(
    given: Given,
    target: Target,
    answers: Tensor,
    device: torch.device,
    metrics: tuple[str, ...],
    class_weight: str | dict | None,
    seed: int,
) -> FitProblem:
    """Return the problem of finding a model for examples."""
    encoder, inputs = given.fitted()
    space = space_for(encoder, target)
    space.stem.to(device)
    weights = class_weights(target, answers, class_weight)
    stem: nn.Module = space.stem
    inputs = inputs.to(device)
    if given.kind == "table":
        inputs, stem = space.stem(inputs), nn.Identity()
    examples = Examples(inputs, answers.to(device), stem)
    return FitProblem(
        given, encoder, target, examples, space, metrics, None if weights is None else weights.to(device), seed, device
    )


@dataclass(frozen=True)
class Plan:
    """How each architecture of a search is judged; made once, by measuring, and kept when the search is continued.

    Attributes:
        folds: of the cross-validation; 1 for a part that is held out.
        epochs, batch_size: of each training.
        seconds: that an architecture may take; None for no limit.
    """

    folds: int
    epochs: int
    batch_size: int
    seconds: float | None


def folds_of(problem: FitProblem, count: int) -> list[tuple[Tensor, Tensor]]:
    """Return the training and the validation part of each fold, ``(n,)`` indices on the device of the examples.

    A fifth is held out of a single fold. Classes are spread evenly.
    """
    target, answers = problem.target, problem.examples.answers.cpu()
    order = torch.randperm(len(answers), generator=torch.Generator().manual_seed(problem.seed))
    if target.task == "classification":
        order = order[answers[order].argsort(stable=True)]
    pieces = max(count, FOLDS[0]) if count == 1 else count
    number = torch.empty(len(answers), dtype=torch.long)
    number[order] = torch.arange(len(answers)) % pieces
    number = number.to(problem.device)
    return [((number != k).nonzero().flatten(), (number == k).nonzero().flatten()) for k in range(count)]


def make_plan(problem: FitProblem, limit: float | None) -> Plan:
    """Measure some steps of the first architecture, and return the folds and epochs that there is time for."""
    count, kind = len(problem.examples), problem.given.kind
    batch_size = 2 ** int(np.clip(np.log2(max(2, count / 20)), 4, 7))
    steps = batches(int(0.8 * count), batch_size)
    most = problem.epochs or int(np.clip(MAX_STEPS // steps, MIN_EPOCHS, MAX_EPOCHS[kind]))
    choices = (problem.folds,) if problem.folds else FOLDS if count <= FOLDED else (1,)
    if limit is None or (problem.folds and problem.epochs):
        return Plan(choices[0], most, batch_size, None)
    seconds = _epoch_seconds(problem, batch_size, limit)
    share = FOLDED_SHARE * limit
    enough = min(most, ENOUGH_EPOCHS) * seconds
    for folds in choices:
        if folds > 1 and (share >= folds * enough or problem.folds):
            break
    else:
        folds, share = 1, max(TRIAL_SHARE * limit, min(enough, LARGEST_SHARE * limit))
    epochs = int(np.clip(share / (folds * seconds), 1, most))
    return Plan(folds, epochs, batch_size, OVERRUN * max(share, folds * epochs * seconds))


def _epoch_seconds(problem: FitProblem, batch_size: int, limit: float) -> float:
    """Return the time of an epoch of the first architecture, with its evaluation.

    Args:
        limit: seconds for everything; measuring takes a small share of it.
    """
    network, settings = network_of(problem, complete(decisions_of(problem), start_of(problem), Random(0)))
    count = min(MEASURED_STEPS * batch_size, len(problem.examples))
    few = torch.arange(count, device=problem.device)
    loss, began = loss_of(problem.target, problem.weights), time.monotonic()
    times: list[float] = []
    while len(times) < 2 or (len(times) < 3 and time.monotonic() - began < MEASURED_SHARE * limit):
        now = time.monotonic()
        train(
            network,
            problem.examples,
            (few, few[: count // 4 + 1]),
            target=problem.target,
            metric=problem.metrics[0],
            loss=loss,
            deadline=now + MEASURED_SHARE * limit,
            seed=0,
            settings=replace(settings, epochs=1, batch_size=batch_size),
        )
        times.append(time.monotonic() - now)
    return min(times[1:]) * batches(int(0.8 * len(problem.examples)), batch_size) / batches(count, batch_size)


class JointDecisions(Decisions):
    """The decisions of an architecture, and after them the settings of its training."""

    def __init__(self, architecture: ArchitectureDecisions, tuned: Mapping[str, tuple[str, ...]]):
        self.architecture, self.tuned = architecture, tuned

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision that is not made yet; None where all are."""
        decision = self.architecture.following(made)
        if decision is not None:
            return decision
        return next((Decision(name, values) for name, values in self.tuned.items() if name not in made), None)

    def encoding(self, point: Point, paths: int | None) -> list[float]:
        """Return the architecture's encoding, and the settings one-hot."""
        settings = [float(point[name] == value) for name, values in self.tuned.items() for value in values]
        return self.architecture.encoding(point, paths) + settings


def decisions_of(problem: FitProblem) -> JointDecisions:
    """Return the decisions of a search."""
    return JointDecisions(ArchitectureDecisions(problem.space.space), problem.tuned)


def start_of(problem: FitProblem) -> dict[str, str]:
    """Return what is decided in the architecture that is tried first; the rest is drawn."""
    return {**{f"{label}/0": name for label, name in problem.space.start.items()}, **START}


def network_of(problem: FitProblem, point: Mapping[str, str]) -> tuple[nn.Module, Settings]:
    """Return the network of a point with new weights, from the global generator, and the settings of its training."""
    genotype = decisions_of(problem).architecture.genotype(point)
    assert isinstance(genotype, ChoicesGenotype)
    network = problem.space.space.network(genotype)
    settings = Settings(1, 1, float(point["lr"]), float(point["weight_decay"]), point.get("shifted") == "yes")
    return network.to(problem.device), settings
