"""The training of the network of a trial, judged on a validation part after each epoch; the best epoch counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from darts.automatic.trials.trial_settings import TrialSettings
from darts.data.objective import Objective
from darts.data.user_data import UserSplit
from darts.errors import UserError
from darts.retraining.network_task import NetworkTask
from darts.training.loop import Diverged
from darts.training.seeding import SeededTask
from genotypes.errors import kind_and_text


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        weights: of its best epoch, as of ``state_dict``.
        figures: of the validation part after that epoch, their names beginning with ``valid_``.
        epoch: that epoch, counted from 1.
        value: the accuracy after it, or the loss with its sign turned: the larger, the better.
    """

    weights: Mapping[str, Tensor]
    figures: Mapping[str, float]
    epoch: int
    value: float


def train_epochs(
    network: nn.Module,
    train_part: UserSplit,
    valid_part: UserSplit,
    objective: Objective,
    settings: TrialSettings,
    *,
    seed: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> Trained:
    """Train a network in place; at the end it has the weights of its best epoch.

    What the network and the data draw from the global generators is fixed by the seed; the caller keeps the generators.

    Args:
        seed: of the order of examples and of all draws.
        optimizer: in place of SGD.

    Raises:
        Diverged: where a validation loss is not finite.
    """
    task = NetworkTask(
        network,
        train_part,
        valid=valid_part,
        objective=objective,
        weights=settings.weights,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=seed,
        patience=settings.patience,
        optimizer=optimizer,
    )
    seeded, epoch = SeededTask(task, seed), 0
    while epoch < task.epochs:
        seeded.begin_epoch(epoch, 0)
        for _ in range(task.steps_per_epoch):
            seeded.step()
        figures = seeded.end_epoch(epoch, lambda done, batches: None)
        epoch += 1
        if not all(map(math.isfinite, figures.values())):
            raise Diverged(f"the validation loss is not finite in epoch {epoch}; lower the learning rate")
    best = task.keep_best()
    assert best is not None, "there is a validation part"
    return Trained(task.selection.kept["network"], task.tested, best, max(task.selection.values))


def run_once(network: nn.Module, batch: Any, objective: Callable[[nn.Module, Any], object], what: str) -> None:
    """Call a network on a batch, which also gives lazy layers their sizes.

    Args:
        what: names the network in the message.

    Raises:
        UserError: in one line, where it fails.
    """
    network.eval()
    try:
        with torch.no_grad():
            objective(network, batch)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what} fails on a batch: {kind_and_text(error, 160)}") from None
