"""The processes that train one model together, and what they exchange.

Each process ("rank") computes on its shard of every batch. ``darts.training.distributed`` connects them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from darts.errors import UserError


def is_main_process() -> bool:
    """Return whether this process prints: rank 0, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


def restarted() -> bool:
    """Return whether torchrun has started this process again after a rank had died."""
    return restart_count() > 0


def restart_count() -> int:
    """Return how many times torchrun has restarted the processes of this launch."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


@dataclass(frozen=True)
class Ranks:
    """The processes of a run. A run of one process is a ``Ranks()``: every method then returns what it was given.

    Attributes:
        rank: the number of this one.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    def shard(self, size: int, device: torch.device | None = None) -> Tensor:
        """The places in a batch of ``size`` examples that this rank computes, ``(ceil(size / count),)``.

        All shares are of one size; where the batch cannot be divided, its first examples are computed twice.
        """
        each = -(-size // self.count)
        return (torch.arange(each, device=device) + self.rank * each) % size

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each tensor over the ranks, without a graph; one all-reduce for each type."""
        if self.count == 1:
            return list(tensors)
        means = list(tensors)
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # in the same order on every rank
            places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
            flat = torch.cat([tensors[place].detach().reshape(-1) for place in places])
            dist.all_reduce(flat)
            flat /= self.count
            for place, mean in zip(places, flat.split([tensors[place].numel() for place in places])):
                means[place] = mean.view(tensors[place].shape)
        return means

    def total(self, values: Tensor) -> Tensor:
        """The sum over the ranks."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def all_reduce_max(self, flags: Sequence[int]) -> list[int]:
        """The largest value of each flag on any rank. Waits for the other hosts, never for a GPU."""
        if self.count == 1:
            return list(flags)
        largest = torch.tensor(flags)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.tolist()

    def broadcast_from_rank0(self, decide: Callable[[], str]) -> str:
        """Return on every rank what rank 0 decides.

        Raises:
            UserError: rank 0's, on every rank.
        """
        if self.count == 1:
            return decide()
        answer = [""]
        if self.rank == 0:
            try:
                answer = ["=" + decide()]
            except UserError as error:
                answer = ["!" + str(error)]
        heard = self._broadcast(answer[0])
        if heard[0] == "!":
            raise UserError(heard[1:])
        return heard[1:]

    def _broadcast(self, text: str) -> str:
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) if text else torch.empty(0).byte()
        length = torch.tensor(len(content))
        dist.broadcast(length, 0)
        content = content if self.rank == 0 else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(content, 0)
        return bytes(content.tolist()).decode()

    def check_equal(self, tensors: Mapping[str, Tensor]) -> None:
        """Assert that tensors are the same, bit for bit, on every rank.

        Raises:
            RuntimeError: naming the first that is not.
        """
        if self.count == 1:
            return
        for name, tensor in tensors.items():
            ends = torch.stack([tensor.detach(), -tensor.detach()])
            dist.all_reduce(ends, dist.ReduceOp.MAX)
            if not torch.equal(ends[0], -ends[1]):
                raise RuntimeError(f"rank {self.rank}: {name} differs between ranks; the run cannot go on")


SINGLE_PROCESS = Ranks()
"""A run of one process."""
