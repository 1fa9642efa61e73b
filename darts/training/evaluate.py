"""Evaluation: the loss of a network on a split, and what else its objective counts."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from darts.data.objective import Call, Objective, Rows
from darts.data.split import Split
from darts.processes import Ranks
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
    found: dict[str, Rows] = {}
    last = split.steps(len(indices), batch_size, training=False)
    with torch.no_grad():
        for number, batch in enumerate(split.batches(indices, batch_size, training=False), 1):
            if examples(batch):
                batch = hidden.attach("evaluated", batch)
                loss, sums = partition.outcome(lambda part: objective.evaluate(call, part), batch)
                for name, value in {"loss": loss.double() * sums["images"], **sums}.items():
                    if isinstance(value, Rows):
                        found[name] = found[name] + value if name in found else value
                    else:
                        totals[name] = totals[name] + value.double() if name in totals else value.double()
            report(number, last)
    network.train(before)
    return _figures(totals, found, objective, partition.ranks)


def _figures(
    totals: Mapping[str, Tensor], found: Mapping[str, Rows], objective: Objective, ranks: Ranks
) -> dict[str, float]:
    """Return the means of the totals over all ranks, and the figures that an objective computes from them."""
    flat = torch.cat([total.cpu().reshape(-1) for total in totals.values()])
    parts = ranks.total(flat).split([total.numel() for total in totals.values()])
    summed = {name: part.view(totals[name].shape) for name, part in zip(totals, parts)}
    count = summed.pop("images").item()
    means = {name: total.item() / count for name, total in summed.items() if total.ndim == 0}
    arrays = {name: total for name, total in summed.items() if total.ndim}
    return means | objective.figures(means, {**arrays, **{name: rows.gathered(ranks) for name, rows in found.items()}})
