"""The order of examples: the permutation of an epoch, and the shard of each batch that a process gets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from darts.processes import Ranks


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
