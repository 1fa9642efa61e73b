"""The training of any network on a user's data for some epochs, judged on a validation part after each of them.

The weights of the best epoch are kept; with ``patience``, a training stops that has become no better for so long.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from darts.data.objective import Objective
from darts.data.order import shuffled
from darts.data.user_data import UserSplit
from darts.errors import UserError
from darts.training.evaluate import evaluate
from darts.training.loop import Diverged
from darts.training.objective import ranked_by
from darts.training.sgd import set_learning_rate


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
    optimizer: torch.optim.Optimizer,
    train_part: UserSplit,
    valid_part: UserSplit,
    objective: Objective,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    patience: int | None = None,
    rate: Callable[[int], float] | None = None,
    clip: float | None = None,
) -> Trained:
    """Train a network in place; at the end it has the weights of its best epoch.

    What the network and the data draw from the global generators is fixed by the seed; the caller keeps the generators.

    Args:
        batch_size: examples of a step, where the data have no batch size of their own.
        patience: epochs without improvement after which the training stops; None for never.
        rate: epoch, counted from 0, -> learning rate; None leaves the optimizer's.
        clip: largest norm of the gradient; None for any.

    Raises:
        Diverged: where a loss is not finite.
    """
    size = train_part.batch_size or batch_size
    best: Trained | None = None
    for epoch in range(epochs):
        if rate is not None:
            set_learning_rate(optimizer, rate(epoch))
        torch.manual_seed(seed + 1_000_003 * epoch)
        network.train()
        order = shuffled(torch.arange(len(train_part)), seed, epoch)
        for batch in train_part.batches(order, size, True):
            loss = objective(network, batch).descended
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
        figures = evaluate(
            network,
            network,
            objective,
            split=valid_part,
            indices=torch.arange(len(valid_part)),
            batch_size=valid_part.batch_size or 2 * batch_size,
            report=lambda done, batches: None,
        )
        if not all(map(math.isfinite, figures.values())):
            raise Diverged(f"the validation loss is not finite in epoch {epoch + 1}; lower the learning rate")
        key, sign = ranked_by(figures)
        value = sign * figures[key]
        if best is None or value > best.value:
            named = {f"valid_{name}": figure for name, figure in figures.items()}
            best = Trained(copy.deepcopy(network.state_dict()), named, epoch + 1, value)
        elif patience is not None and epoch + 1 - best.epoch >= patience:
            break
    assert best is not None
    network.load_state_dict(best.weights)
    return best


def run_once(network: nn.Module, batch: Any, objective: Objective, what: str) -> None:
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
        reason = (str(error).strip().splitlines() or [""])[0][:160]
        raise UserError(f"{what} fails on a batch: {type(error).__name__}: {reason}") from None
