"""Several processes that train one model: ``torchrun --nproc-per-node N train_search.py ...``.

Every process ("rank") draws the random numbers of the whole batch and computes on its shard of it; gradients are
averaged by one explicit all-reduce of a flat list. So weights, logits and random generators are equal on all ranks,
there is one genotype, the checkpoint of one rank is that of all, and a run can be resumed with another number of ranks.

Only rank 0 writes files and prints. NCCL transfers tensors on GPUs, gloo those on CPUs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks, restart_count
from genotypes.errors import first_line
from supernet.mixed.graph import MixedGraph
from supernet.ops import BatchNorm, Fusable

SYNCHRONIZED = ("reference", "batched")
"""Backends whose BatchNorm can compute its statistics over all ranks."""

TIMEOUT = timedelta(minutes=30)
"""Time that a rank waits for the others: longer than any step, shorter than a job."""


def launched() -> bool:
    """Return whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def local_rank() -> int:
    """Return the number of this process on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_count() -> int:
    """Return the number of the run's processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


class Lost(Exception):
    """Another rank died. torchrun restarts all ranks where ``--max-restarts`` allows; they resume from a checkpoint."""


@contextmanager
def connected() -> Iterator[Ranks]:
    """Connect the processes that torchrun started, and yield them; without torchrun, yield this process alone."""
    if not launched():
        yield SINGLE_PROCESS
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # torchrun keeps the store of the processes that died: their addresses must not be found in it.
    store, rank, count = next(dist.rendezvous("env://", timeout=TIMEOUT))
    store = dist.PrefixStore(f"start_{restart_count()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    try:
        yield Ranks(rank, count)
    except RuntimeError as error:
        if not re.search("gloo|nccl", str(error), re.IGNORECASE):
            raise
        raise Lost(f"rank {rank}: another rank is gone ({first_line(error, 200)})") from None
    dist.destroy_process_group()


class _AllReduceMean(torch.autograd.Function):
    """The mean over the ranks. Every rank has its own loss and the sum of all is differentiated, so that a gradient is
    the mean over the ranks too; it can be differentiated any number of times."""

    @staticmethod
    def forward(ctx, x, count):
        ctx.count = count
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total.div_(count)

    @staticmethod
    def backward(ctx, grad):
        return _AllReduceMean.apply(grad, ctx.count), None


@dataclass(frozen=True)
class RankAverage:
    """``supernet.ops.Average`` over the processes of a run."""

    ranks: int

    def __call__(self, x: Tensor) -> Tensor:
        return _AllReduceMean.apply(x, self.ranks)


def synchronize_batchnorm(network: nn.Module, ranks: Ranks) -> None:
    """Let every BatchNorm of a network compute its statistics over the images of all ranks.

    Raises:
        UserError: where a module of the network cannot.
    """
    if ranks.count == 1:
        return
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise UserError(f"`run.sync_batchnorm`: {type(module).__name__} of this space cannot; leave it out")
        if isinstance(module, MixedGraph) and module.backend not in SYNCHRONIZED:
            allowed = " or ".join(SYNCHRONIZED)
            raise UserError(f"`run.sync_batchnorm`: backend {module.backend} cannot; set `space.backend` {allowed}")
        if isinstance(module, Fusable) and module.kernels is not None:
            raise UserError("`run.sync_batchnorm`: fused kernels cannot; leave `fused` out")
        if isinstance(module, BatchNorm):
            module.average = RankAverage(ranks.count)  # type: ignore[assignment]  # a function of a tensor


def average_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Set BatchNorm's running statistics to the mean over the ranks, so that one model is evaluated and saved."""
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    for buffer, mean in zip(buffers, ranks.average(buffers)):
        buffer.copy_(mean)
