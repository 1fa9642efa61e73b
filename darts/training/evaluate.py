"""Loss of a network on a split, and what else its objective counts."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from darts.data.dataset import Images, steps
from darts.training.hidden_state import HiddenState
from darts.training.microbatch import BatchPartition
from darts.training.objective import Call, Objective, examples

Tell = Callable[[int, int], None]
"""Is told how much of an evaluation is done: batches so far, and in all."""


def evaluate(
    network: nn.Module,
    call: Call,
    objective: Objective,
    split: Images,
    indices: Tensor,
    batch_size: int,
    tell: Tell,
    partition: BatchPartition | None = None,
) -> dict[str, float]:
    """Means over a split, of the loss and of all that the objective counts, with the network in evaluation mode.

    A partition says which ranks have a share of each batch, and in what parts it is computed.
    """
    partition, hidden = partition or BatchPartition(), HiddenState(network)
    before = network.training
    network.eval()
    totals: dict[str, Tensor] = {}
    last = steps(split, len(indices), batch_size, training=False)
    with torch.no_grad():
        for number, batch in enumerate(split.batches(indices, batch_size, training=False), 1):
            if examples(batch):
                batch = hidden.attach("evaluated", batch)
                loss, sums = partition.outcome(lambda part: objective(call, part)[:2], batch)
                for name, value in {"loss": loss.double() * sums["images"], **sums}.items():
                    totals[name] = totals[name] + value.double() if name in totals else value.double()
            tell(number, last)
    network.train(before)
    found = partition.ranks.total(torch.tensor([total.item() for total in totals.values()], dtype=torch.float64))
    means = dict(zip(totals, found.tolist()))
    number = means.pop("images")
    means = {name: total / number for name, total in means.items()}
    return means | objective.figures(means) if hasattr(objective, "figures") else means
