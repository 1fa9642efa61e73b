"""The choice and order of examples: held out by class, stratified subsets, an epoch's permutation, a rank's shard."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from darts.errors import UserError
from darts.processes import Ranks

HELD_OUT = 0.2
"""Share of the examples that becomes the test split of a data set without one of its own."""


def hold_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide examples by class, in a fixed random order, into a training and a test split.

    Of each class ``HELD_OUT`` is for testing: at least one example, and never all of them, so that a class of a single
    example is trained on and not tested.

    Args:
        labels: the class of each example, ``(n,)``.

    Returns:
        Indices of both splits, each in random order.

    Raises:
        UserError: where a fifth is not one example, or no class has two.
    """
    if len(labels) * HELD_OUT < 1:
        raise UserError(f"{len(labels)} examples are too few to hold some out for testing")
    order = np.random.default_rng(0).permutation(len(labels))
    tested = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels[order] == label)
        count = min(len(places) - 1, max(1, round(HELD_OUT * len(places))))
        tested[places[len(places) - count :]] = True
    if not tested.any():
        raise UserError(f"{len(labels)} examples are too few to hold some out for testing: no class has two")
    return order[~tested], order[tested]


def stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of ``count`` examples in which classes have about the same shares as in all, ascending.

    Raises:
        UserError: where there are more classes than ``count``.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    if count < len(classes):
        raise UserError(f"`data.limit` {count} is below the number of classes, {len(classes)}")
    if count >= len(labels):
        return np.arange(len(labels))
    share = sizes * (count / len(labels))
    counts = np.maximum(1, np.floor(share).astype(int))
    while counts.sum() != count:
        step = 1 if counts.sum() < count else -1
        room = counts < sizes if step > 0 else counts > 1
        gap = np.where(room, (share - counts) * step, -np.inf)
        counts[gap.argmax()] += step
    chosen = [np.flatnonzero(labels == label)[:size] for label, size in zip(classes, counts)]
    return np.sort(np.concatenate(chosen))


def shard(size: int, training: bool, ranks: Ranks, device: torch.device | None = None) -> Tensor | slice:
    """Return the positions of this rank's examples in a batch of ``size``.

    While training all shards are of one size; in evaluation each example belongs to exactly one rank, and a shard may
    be empty.
    """
    if ranks.count == 1:
        return slice(None)
    if training:
        return ranks.shard(size, device)
    return torch.arange(size, device=device).tensor_split(ranks.count)[ranks.rank]


def shuffled(indices: Tensor, seed: int, epoch: int, attempt: int = 0) -> Tensor:
    """Return the indices in the order of an epoch, ``(n,)``.

    The permutation depends on the seed, the epoch and the number of rollbacks of the run (``attempt``) alone.
    """
    entropy = (seed, epoch, attempt) if attempt else (seed, epoch)
    generator = torch.Generator().manual_seed(np.random.SeedSequence(entropy).generate_state(1).item())
    return indices[torch.randperm(len(indices), generator=generator)]
