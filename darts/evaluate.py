"""Accuracy and loss of a network on a split."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts.data import Images

Tell = Callable[[int, int], None]
"""Is told how much of an evaluation is done: examples so far, and in all."""


def accuracy_and_loss(
    network: nn.Module,
    scores: Callable[[Tensor], Tensor],
    split: Images,
    indices: Tensor,
    batch_size: int,
    tell: Tell,
) -> tuple[float, float]:
    """Share of examples whose highest score is the label's, and mean cross-entropy.

    Args:
        network: put into evaluation mode meanwhile.
        scores: images ``(b, c, h, w)`` -> class scores ``(b, classes)``.
        split, indices: the examples.
        tell: called after each batch.
    """
    before = network.training
    network.eval()
    sums: Tensor | float = 0.0
    count = 0
    with torch.no_grad():
        for images, labels in split.batches(indices, batch_size, training=False):
            out = scores(images).float()
            correct = (out.argmax(1) == labels).sum().double()
            sums = sums + torch.stack([correct, F.cross_entropy(out, labels, reduction="sum").double()])
            count += len(labels)
            tell(count, len(indices))
    network.train(before)
    accuracy, loss = (sums / count).tolist()
    return accuracy, loss
