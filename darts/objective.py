"""What is minimized: a function of a network and a batch. Classification, unless a user gives another loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts.data import Images
from darts.evaluate import Tell
from darts.gradients import Division

Call = Callable[..., Any]
"""A network as a function of its inputs: weights and gates are settled."""


class Outcome(NamedTuple):
    """Of one batch.

    Attributes:
        loss: mean over the batch, a scalar.
        sums: further figures, summed over the batch; ``images`` counts its examples.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]


Objective = Callable[[Call, Any], Outcome]
"""(network, batch) -> outcome."""


def classification(network: Call, batch: tuple[Tensor, Tensor]) -> Outcome:
    """Mean cross-entropy of ``(inputs, labels)``, and how many labels have the highest score."""
    inputs, labels = batch
    scores = network(inputs)
    scores = scores.float() if scores.dtype.itemsize < 4 else scores
    correct = (scores.argmax(1) == labels).sum()
    return Outcome(F.cross_entropy(scores, labels), {"accuracy": correct, "images": torch.tensor(len(labels))})


def own(loss: Callable[[Call, Any], Tensor]) -> Objective:
    """The objective of a user's own loss, (network, batch) -> mean over the batch."""

    def objective(network: Call, batch: Any) -> Outcome:
        return Outcome(loss(network, batch), {"images": torch.tensor(examples(batch))})

    return objective


def examples(batch: Any) -> int:
    """How many examples a batch holds: the length of the first tensor in it; 1 where there is none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((examples(part) for part in parts), 1)


def evaluate(
    network: nn.Module,
    call: Call,
    objective: Objective,
    split: Images,
    indices: Tensor,
    batch_size: int,
    tell: Tell,
    division: Division | None = None,
) -> dict[str, float]:
    """Means over a split, of the loss and of all that the objective counts, with the network in evaluation mode.

    A division says which ranks have a share of each batch, and in what parts it is computed.
    """
    division = division or Division()
    before = network.training
    network.eval()
    totals: dict[str, Tensor] = {}
    count = 0
    with torch.no_grad():
        for batch in split.batches(indices, batch_size, training=False):
            if examples(batch):
                loss, sums = division.outcome(lambda part: objective(call, part), batch)
                for name, value in {"loss": loss.double() * sums["images"], **sums}.items():
                    totals[name] = totals[name] + value.double() if name in totals else value.double()
            count = min(count + batch_size, len(indices))
            tell(count, len(indices))
    network.train(before)
    found = division.ranks.total(torch.tensor([total.item() for total in totals.values()], dtype=torch.float64))
    means = dict(zip(totals, found.tolist()))
    number = means.pop("images")
    return {name: total / number for name, total in means.items()}
