"""Several processes that train one model: ``torchrun --nproc-per-node N train_search.py ...``.

Every process ("rank") draws what is random for the whole batch and computes on its share of it; gradients are averaged
by one explicit all-reduce of a flat list. So weights, logits and random generators are the same everywhere, one
genotype comes out, a checkpoint of one rank is that of all, and a run goes on with another number of ranks.

Rank 0 alone writes files and prints. NCCL carries tensors on GPUs, gloo those on CPUs.
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
from darts.processes import SINGLE_PROCESS, Ranks
from supernet.mixed.graph import MixedGraph
from supernet.ops import BatchNorm, Separable

SYNCHRONIZED = ("reference", "batched")
"""Backends whose BatchNorm can take its statistics over all ranks."""

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others: longer than any step, shorter than a job."""


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def restarted() -> bool:
    """Whether torchrun started this process anew after a rank had died."""
    return _starts() > 0


def _starts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def is_main_process() -> bool:
    """Whether this process prints: rank 0, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


def local_rank() -> int:
    """The number of this process on its machine: of the GPU that it takes."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_count() -> int:
    """How many processes of the run this machine has."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


class Lost(Exception):
    """Another rank died. torchrun starts all anew where ``--max-restarts`` allows; they go on from a checkpoint."""


@contextmanager
def connected() -> Iterator[Ranks]:
    """The processes that torchrun started, connected; or this one alone."""
    if not launched():
        yield SINGLE_PROCESS
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # torchrun may hand on the store of the processes that died: their addresses must not be found in it.
    store, rank, count = next(dist.rendezvous("env://", timeout=TIMEOUT))
    store = dist.PrefixStore(f"start_{_starts()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    try:
        yield Ranks(rank, count)
    except RuntimeError as error:
        if not re.search("gloo|nccl", str(error), re.IGNORECASE):
            raise
        raise Lost(f"rank {rank}: another rank is gone ({str(error).splitlines()[0][:200]})") from None
    dist.destroy_process_group()


class _AllReduceMean(torch.autograd.Function):
    """The mean over the ranks. Every rank has a loss of its own and the sum of all is differentiated, so that a
    gradient is the mean over the ranks too; it can be differentiated any number of times."""

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
    """Let every BatchNorm of a network take its statistics over the images of all ranks.

    Raises:
        UserError: where a part of the network cannot.
    """
    if ranks.count == 1:
        return
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise UserError(f"--sync-batchnorm: {type(module).__name__} of this space cannot; leave the option out")
        if isinstance(module, MixedGraph) and module.backend not in SYNCHRONIZED:
            allowed = " or ".join(SYNCHRONIZED)
            raise UserError(f"--sync-batchnorm: backend {module.backend} cannot; use --space.backend {allowed}")
        if isinstance(module, Separable) and module.kernels is not None:
            raise UserError("--sync-batchnorm: fused kernels cannot; leave --fused out")
        if isinstance(module, BatchNorm):
            module.average = RankAverage(ranks.count)


def average_statistics(network: nn.Module, ranks: Ranks) -> None:
    """BatchNorm's running statistics as the mean over the ranks, so that one model is evaluated and saved."""
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    for buffer, mean in zip(buffers, ranks.average(buffers)):
        buffer.copy_(mean)
