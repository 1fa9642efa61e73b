"""Evaluation: the loss of a network on a split, and what else its objective counts."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from darts.data.objective import Call, Objective
from darts.data.split import Split
from darts.training.hidden_state import HiddenState
from darts.training.microbatch import BatchPartition
from darts.training.objective import examples

ReportProgress = Callable[[int, int], None]
"""Called after each batch of an evaluation with the number of batches done, and of all batches."""


def evaluate(
    network: nn.Module,
    call: Call,
    objective: Objective,
    *,
    split: Split,
    indices: Tensor,
    batch_size: int,
    report: ReportProgress,
    partition: BatchPartition | None = None,
) -> dict[str, float]:
    """Return means over a split, of the loss and of all that the objective counts, in evaluation mode.

    Args:
        network: whose modules are set to evaluation mode meanwhile.
        call: the network as a function of its inputs.
        split, indices: the examples to evaluate on, ``(n,)``.
        batch_size: examples of a batch.
        report: called after each batch.
        partition: which ranks compute a shard of each batch, and in how many micro-batches; one process by default.
    """
    partition, hidden = partition or BatchPartition(), HiddenState(network)
    before = network.training
    network.eval()
    totals: dict[str, Tensor] = {}
    last = split.steps(len(indices), batch_size, training=False)
    with torch.no_grad():
        for number, batch in enumerate(split.batches(indices, batch_size, training=False), 1):
            if examples(batch):
                batch = hidden.attach("evaluated", batch)
                loss, sums = partition.outcome(lambda part: objective(call, part)[:2], batch)
                for name, value in {"loss": loss.double() * sums["images"], **sums}.items():
                    totals[name] = totals[name] + value.double() if name in totals else value.double()
            report(number, last)
    network.train(before)
    found = partition.ranks.total(torch.tensor([total.item() for total in totals.values()], dtype=torch.float64))
    means = dict(zip(totals, found.tolist()))
    count = means.pop("images")
    means = {name: total / count for name, total in means.items()}
    return means | objective.figures(means)
