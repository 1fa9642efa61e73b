"""Accuracy and loss of a network on a split."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts.data import Images
from darts.gradients import Division

Tell = Callable[[int, int], None]
"""Is told how much of an evaluation is done: examples so far, and in all."""


def accuracy_and_loss(
    network: nn.Module,
    scores: Callable[[Tensor], Tensor],
    split: Images,
    indices: Tensor,
    batch_size: int,
    tell: Tell,
    division: Division | None = None,
) -> tuple[float, float]:
    """Share of examples whose highest score is the label's, and mean cross-entropy.

    Args:
        network: put into evaluation mode meanwhile.
        scores: images ``(b, c, h, w)`` -> class scores ``(b, classes)``.
        split, indices: the examples.
        tell: called after each batch.
        division: of each batch over ranks, whose shares their data sets give them, and into micro-batches.
    """
    before = network.training
    network.eval()
    division = division or Division()
    sums = torch.zeros(3, dtype=torch.float64)
    count = 0
    with torch.no_grad():
        for images, labels in split.batches(indices, batch_size, training=False):
            if len(labels):
                out = division.scores(scores, images).float()
                labels = labels[: len(out)]
                correct, examples = (out.argmax(1) == labels).sum(), torch.full((), len(labels), device=out.device)
                loss = F.cross_entropy(out, labels, reduction="sum")
                sums = sums.to(out.device) + torch.stack([correct.double(), loss.double(), examples.double()])
            count += batch_size
            tell(min(count, len(indices)), len(indices))
    network.train(before)
    correct, loss, examples = division.ranks.total(sums.cpu()).tolist()
    return correct / examples, loss / examples
