"""Gradients of a batch that is divided: over ranks, and on each rank into micro-batches.

A loss is a mean over the batch, so its gradient is the mean of the micro-batches' gradients. Micro-batches need the
memory of one of them only; what they change is BatchNorm, which normalizes each by its own statistics.

One function serves every method: a loss on a divided batch enters autograd as one operation, which accumulates its
gradients over the micro-batches, averages them over the ranks in one all-reduce, and holds them ready for ``backward``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from darts.data.split import Batch
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from darts.training.out_of_memory import retry_smaller

Sums = Mapping[str, Any]
"""Figures summed over the examples of a batch: tensors, or ``Rows`` in an evaluation."""


@dataclass
class BatchPartition:
    """How a batch is divided. A batch is this rank's shard already; one that is no tuple of tensors is never divided.

    Attributes:
        ranks: the processes that compute a shard each.
        micro_batches: number of parts in which the shard is computed; an out-of-memory error doubles it.
        synchronized: whether BatchNorm waits for the other ranks, so that all need the same number of micro-batches.
        guarded: whether an out-of-memory error is handled, so that nothing may be left for autograd to compute later.
        sample: compute only the first ``sample`` examples, to measure memory; None for all.
        listener: called with a message when the number of micro-batches changes.
        release: frees memory that the next step does not need, before a batch is computed once more.
    """

    ranks: Ranks = SINGLE_PROCESS
    micro_batches: int = 1
    synchronized: bool = False
    guarded: bool = False
    sample: int | None = None
    listener: Callable[[str], None] = lambda message: None
    release: Callable[[], None] = lambda: None

    def notify(self, message: str) -> None:
        """Pass a message to the current listener."""
        self.listener(message)

    @property
    def graph_key(self) -> tuple[int, int | None]:
        """All that Python decides about how a batch is computed: a CUDA graph is valid for one such key."""
        return self.micro_batches, self.sample

    @property
    def undivided(self) -> bool:
        """Whether batches are computed as one, by one process, without handling of out-of-memory errors."""
        return self.ranks.count == 1 and self.micro_batches == 1 and not self.guarded

    def loss(self, loss: Callable[[Sequence[Tensor], Batch], Tensor], inputs: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return the loss on a batch, with the gradients of the undivided batch, the same on every rank.

        Args:
            loss: the mean over a batch, as a function of the inputs and the batch.
            inputs: tensors that it may be differentiated with respect to; once, where the batch is divided.
        """
        if self.undivided:
            return loss(inputs, batch)
        return _DividedLoss.apply(self, loss, batch, *inputs)

    def backward(
        self, network: nn.Module, loss: Callable[[Batch], tuple[Tensor, Tensor, Sums]], batch: Batch
    ) -> tuple[Tensor, Sums]:
        """Set the gradients of a network's parameters, and update its running statistics.

        Args:
            loss: batch -> the scalar to differentiate, a mean over the batch; the loss to report; sums over the batch.

        Returns:
            The loss to report and the sums on this rank's shard, without a graph.
        """
        parameters = list(network.parameters())
        for parameter in parameters:
            parameter.grad = None  # so that those of the step before take no memory
        value, sums, grads = self._gradients(loss, parameters, batch, _running_statistics(network))
        grads = list(self.ranks.average(grads))
        for parameter in reversed(parameters):
            parameter.grad = laid_out_as(parameter, grads.pop())  # frees each as it is copied
        return value, sums

    def outcome(self, loss: Callable[[Batch], tuple[Tensor, Sums]], batch: Batch) -> tuple[Tensor, Sums]:
        """Return the mean loss and the sums on this rank's shard, without gradients."""
        batch = self._sampled(batch)

        def attempt() -> tuple[Tensor, Sums]:
            value, sums, _ = self._accumulate(lambda part: (None, *loss(part)), (), batch, (), [])
            return value, sums

        return retry_smaller(attempt, partial(self._divide_further, _divisible(batch)))

    def _sampled(self, batch: Batch) -> Batch:
        if self.sample is None or _divisible(batch) <= self.sample:
            return batch
        return tuple(tensor[: self.sample] for tensor in batch)

    def _gradients(
        self,
        loss: Callable[[Batch], tuple[Tensor, Tensor, Sums]],
        wrt: Sequence[Tensor],
        batch: Batch,
        statistics: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Sums, list[Tensor]]:
        """Return value, sums and gradients on this rank's shard."""
        batch = self._sampled(batch)

        def attempt() -> tuple[Tensor, Sums, list[Tensor]]:
            before = [s.clone() for s in statistics] if self.micro_batches > 1 else []
            try:
                return self._accumulate(loss, wrt, batch, statistics, before)
            except (RuntimeError, MemoryError):
                if before:
                    torch._foreach_copy_(list(statistics), before)
                raise

        return retry_smaller(attempt, partial(self._divide_further, _divisible(batch)))

    def _accumulate(
        self,
        loss: Callable[[Batch], tuple[Tensor | None, Tensor, Sums]],
        wrt: Sequence[Tensor],
        batch: Batch,
        statistics: Sequence[Tensor],
        before: Sequence[Tensor],
    ) -> tuple[Tensor, Sums, list[Tensor]]:
        """Return value, sums and gradients, added up over the micro-batches.

        Args:
            statistics: BatchNorm's running statistics.
            before: copies of them, where there are several micro-batches.
        """
        values: list[Tensor] = []
        sums: dict[str, Any] = {}
        total: list[Tensor] = []
        moves = [torch.zeros_like(s) for s in before]
        for share, part in self._split(batch):
            value, reported, counted = loss(part)
            grads = _gradient(value, wrt)
            if share < 1 and wrt:
                grads = torch._foreach_mul(list(grads), share)
            if total:
                torch._foreach_add_(total, list(grads))
            total = total or list(grads)
            if before:  # BatchNorm's momentum is linear: one step moves by the mean of the micro-batches' moves
                torch._foreach_add_(moves, torch._foreach_sub(list(statistics), list(before)), alpha=share)
                torch._foreach_copy_(list(statistics), list(before))
            values.append(reported.detach() * share)
            sums = {name: sums[name] + value if sums else value for name, value in counted.items()}
        if before:
            torch._foreach_add_(list(statistics), moves)
        return torch.stack(values).sum() if len(values) > 1 else values[0], sums, total

    def _split(self, batch: Batch) -> Iterator[tuple[float, Batch]]:
        """Yield each micro-batch and its share of the batch."""
        if self.micro_batches == 1:
            yield 1.0, batch
            return
        size = _divisible(batch)
        count = min(self.micro_batches, size)
        parts = zip(*(tensor.tensor_split(count) for tensor in batch)) if size > 1 else [batch]
        yield from ((_divisible(part) / size, part) for part in parts)

    def _divide_further(self, size: int, reason: str) -> None:
        if self.micro_batches >= size:
            raise UserError(f"out of memory with one example at a time ({reason}); lower `space.channels`")
        if self.synchronized and self.ranks.count > 1:
            raise UserError(
                f"out of memory ({reason}); with `run.sync_batchnorm` set `run.memory` or lower `batch_size`"
            )
        self.micro_batches = min(2 * self.micro_batches, size)
        self.release()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.notify(f"out of memory: from now on micro-batches of {-(-size // self.micro_batches)} examples")


class _DividedLoss(torch.autograd.Function):
    """A loss whose gradients are computed with it, one micro-batch after the other."""

    @staticmethod
    def forward(ctx, partition, loss, batch, *inputs):
        _, _, _, *wanted = ctx.needs_input_grad
        leaves = [x.detach().requires_grad_(needed) for x, needed in zip(inputs, wanted)]
        wrt = [leaf for leaf, needed in zip(leaves, wanted) if needed]

        def value_of(part: Batch) -> tuple[Tensor, Tensor, Sums]:
            value = loss(leaves, part)
            return value, value, {}

        with torch.set_grad_enabled(bool(wrt)):
            value, _, grads = partition._gradients(value_of, wrt, batch)
        value, *grads = partition.ranks.average([value, *grads])
        ready = iter(grads)
        ctx.grads = [next(ready) if needed else None for needed in wanted]
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return None, None, None, *(None if g is None else g * grad for g in ctx.grads)


def laid_out_as(parameter: Tensor, grad: Tensor) -> Tensor:
    """Return a gradient with the strides of its parameter: fused optimizers read both as they lie in memory, and on a
    CPU update other weights than those the gradient is of, without an error (PyTorch 2.14)."""
    layouts = zip(parameter.shape, parameter.stride(), grad.stride())
    if all(size == 1 or wanted == found for size, wanted, found in layouts):
        return grad
    return torch.empty_like(parameter, dtype=grad.dtype).copy_(grad)


def _divisible(batch: Batch) -> int:
    """Return the largest number of micro-batches: 1 where the batch is no tuple or list of tensors of one length."""
    parts = batch if type(batch) in (tuple, list) else ()
    lengths = {len(part) if isinstance(part, Tensor) and part.ndim else None for part in parts}
    return lengths.pop() or 1 if len(lengths) == 1 else 1


def _gradient(value: Tensor | None, wrt: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the gradients of a value; 0 with respect to tensors that it does not depend on."""
    if not wrt or value is None or not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in wrt]
    return torch.autograd.grad(value, wrt, allow_unused=True, materialize_grads=True)


def _running_statistics(network: nn.Module) -> list[Tensor]:
    return [buffer for name, buffer in network.named_buffers() if name.rpartition(".")[2].startswith("running_")]
