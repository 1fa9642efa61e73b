"""The training of one network on a part of the examples, with early stopping, within a time.

AdamW with a learning rate that rises, then falls along a cosine to 0 at the last step or at the end of the time,
whichever comes first. The weights that are kept are those of the epoch with the best validation score.

Axes: ``n`` example, ``b`` example of a batch, ``k`` output.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts.automatic.examples.targets import Target
from darts.automatic.metrics import METRICS, figures
from darts.automatic.networks import predicted
from darts.errors import UserError
from darts.training.loop import Diverged

WARMUP = 0.1
"""Share of the steps in which the learning rate rises."""

LOSS_WEIGHT = 1e-3
"""Weight of the validation loss in the score: it decides between equal values of the metric."""

SHIFT = 8
"""Images are shifted by up to 1/8 of their side, where they are augmented."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Attributes:
        epochs: at most.
        batch_size: examples of a step.
        lr, weight_decay: of AdamW.
        shifted: whether images are shifted at random.
        patience: epochs without a better score after which the training stops.
    """

    epochs: int
    batch_size: int
    lr: float = 1e-3
    weight_decay: float = 1e-2
    shifted: bool = False
    patience: int = 20


@dataclass(frozen=True)
class Examples:
    """Examples on the device that trains: what ``stem`` reads, and encoded answers."""

    inputs: Tensor
    answers: Tensor
    stem: nn.Module

    def __len__(self) -> int:
        return len(self.answers)

    def part(self, indices: Tensor) -> Examples:
        """Return some of the examples."""
        return Examples(self.inputs[indices], self.answers[indices], self.stem)


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        network: with the weights of the best epoch.
        outputs: its predictions of the validation part, ``(n, k)``.
        epoch: that epoch, counted from 1.
        score: by which it is the best.
    """

    network: nn.Module
    outputs: np.ndarray
    epoch: int
    score: float


def score_of(metric: str, target: Target, answers: np.ndarray, outputs: np.ndarray) -> float:
    """Return the score of predictions, the larger the better: the metric, and with a small weight the loss."""
    value = METRICS[metric].sign * figures([metric], answers, outputs)[metric]
    if target.task == "regression" or metric == "log_loss":
        return value
    return value - LOSS_WEIGHT * figures(["log_loss"], answers, outputs)["log_loss"]


def loss_of(target: Target, weights: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
    """Return (outputs, answers) -> mean loss: cross-entropy, weighted by class; or the squared error."""
    if target.task == "classification":
        return lambda outputs, answers: F.cross_entropy(outputs, answers, weight=weights)
    if target.task == "multilabel":
        return lambda outputs, answers: F.binary_cross_entropy_with_logits(outputs, answers, pos_weight=weights)
    return F.mse_loss


def train(
    network: nn.Module,
    examples: Examples,
    fold: tuple[Tensor, Tensor],
    *,
    target: Target,
    metric: str,
    settings: Settings,
    loss: Callable[[Tensor, Tensor], Tensor],
    deadline: float,
    seed: int,
) -> Trained:
    """Train a network until its epochs, its time or its patience is over; at least one step is taken.

    Dropout draws from the global generators, which the caller keeps.

    Args:
        fold: indices of the examples that train, and of those that judge, ``(n,)``, on the device of the examples.
        deadline: as ``time.monotonic`` counts.
        seed: of the order of examples, dropout and shifts.

    Raises:
        Diverged: where the loss is not finite.
    """
    torch.manual_seed(seed)
    began = time.monotonic()
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    train_indices, valid_indices = fold
    size = min(settings.batch_size, len(train_indices))
    steps = settings.epochs * batches(len(train_indices), size)
    best: Trained | None = None
    answers, weights, step = examples.answers[valid_indices].cpu().numpy(), None, 0
    for epoch in range(1, settings.epochs + 1):
        network.train()
        total = torch.zeros((), device=examples.answers.device)
        for indices in torch.randperm(len(train_indices), generator=order).split(size):
            if len(indices) == 1 < size:  # BatchNorm cannot train on one example
                continue
            progress = max(step / steps, min(1.0, (time.monotonic() - began) / max(deadline - began, 1e-6)))
            if step and progress >= 1:
                break
            optimizer.param_groups[0]["lr"] = settings.lr * schedule(progress)
            batch = examples.part(train_indices[indices.to(train_indices.device)])
            inputs = _shifted(batch.inputs) if settings.shifted else batch.inputs
            value = loss(network(batch.stem(inputs)), batch.answers)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += value.detach()
            step += 1
        if not math.isfinite(total.item()):
            raise Diverged(f"the loss is {total.item()} in epoch {epoch}")
        outputs = predict(network, examples, valid_indices, target)
        score = score_of(metric, target, answers, outputs)
        if best is None or score > best.score:
            best, weights = Trained(network, outputs, epoch, score), copy.deepcopy(network.state_dict())
        if time.monotonic() >= deadline or epoch - best.epoch >= settings.patience:
            break
    assert best is not None and weights is not None
    network.load_state_dict(weights)
    return best


def batches(count: int, size: int) -> int:
    """Return the steps of an epoch, without a last batch of a single example."""
    full, rest = divmod(count, size)
    return max(1, full + (rest > 1))


def schedule(progress: float) -> float:
    """Return the factor of the learning rate after a share of the training."""
    if progress < WARMUP:
        return (progress + 1e-3) / (WARMUP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def predict(network: nn.Module, examples: Examples, indices: Tensor, target: Target) -> np.ndarray:
    """Return the predictions of a network for some examples, ``(n, k)`` float64, numbers in the unit of the answers as
    encoded."""
    network.eval()
    with torch.no_grad():
        chosen = (examples.inputs[part] for part in indices.split(512))
        parts = [predicted(network(examples.stem(part)), target.task) for part in chosen]
    found = torch.cat(parts).double().cpu().numpy()
    if not np.isfinite(found).all():
        raise Diverged("the network predicts non-finite values")
    return found


def class_weights(target: Target, answers: Tensor, given: str | dict | None) -> Tensor | None:
    """Return the weight of each class in the loss; of several labels, of the presence of each.

    Args:
        given: ``balanced`` for weights that make classes count alike, a mapping of class names to weights, or None.

    Raises:
        UserError: where there are no classes, or one is unknown.
    """
    if given is None:
        return None
    if target.task == "regression":
        raise UserError("`class_weight` is given, but numbers are predicted: leave it out")
    if given == "balanced":
        if target.task == "multilabel":
            there = answers.sum(0)
            return ((len(answers) - there) / there.clamp_min(1)).clamp(0.01, 100)
        counts = answers.bincount(minlength=target.outputs).clamp_min(1)
        return len(answers) / (target.outputs * counts.float())
    if not isinstance(given, dict) or not set(given) <= set(target.names):
        known = ", ".join(map(str, target.names[:10]))
        raise UserError(
            f"`class_weight` is {str(given)[:60]}; it must be 'balanced' or map classes ({known}) to weights"
        )
    return torch.tensor([float(given.get(name, 1.0)) for name in target.names])


def _shifted(images: Tensor) -> Tensor:
    """Return images, each shifted at random; what comes in from outside repeats the edge."""
    height, width = images.shape[2:]
    up, side = max(1, height // SHIFT), max(1, width // SHIFT)
    padded = F.pad(images.float(), (side, side, up, up), mode="replicate")
    rows = torch.randint(0, 2 * up + 1, (len(images), 1), device=images.device) + torch.arange(
        height, device=images.device
    )
    columns = torch.randint(0, 2 * side + 1, (len(images), 1), device=images.device)
    columns = columns + torch.arange(width, device=images.device)
    index = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
